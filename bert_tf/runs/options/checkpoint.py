"""Options of the BERT that a run starts from, and of the folder that it writes."""

import dataclasses

from bert_tf.option_fields import option


@dataclasses.dataclass(frozen=True, kw_only=True)
class CheckpointOptions:
    """What a run starts from."""

    init_checkpoint: str = option("", "BERT to start from: folder or checkpoint, any format.")
    bert_config_file: str = option("", "BERT config, if it does not lie next to the checkpoint.")
    vocab_file: str = option("", "Vocabulary, if it does not lie next to the checkpoint.")
    do_lower_case: bool = option(
        None, "Uncased vocabulary; else the checkpoint or its words say so."
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """Where a run writes."""

    output_dir: str = option("", "Folder for the model, checkpoints and TensorBoard files.")
