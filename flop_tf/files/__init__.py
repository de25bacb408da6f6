"""Files: atomic writing, checked reading, and the formats of tensors, masks and differences."""

from flop_tf.files.atomic import (
    check_folder,
    check_regular,
    inside,
    interrupted,
    is_at_or_below,
    parents,
    partials,
    read_text,
    recover_folder,
    replacing,
    replacing_folder,
    write_bytes,
    write_json,
    write_text,
)
