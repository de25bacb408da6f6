"""The keys of a foreign config: each one is read, changes nothing, or ends the import."""

import reprlib


def check_keys(data, subject, read_keys, only, harmless):
    """Raises ValueError where a config may say something that would not be heard.

    Args:
      data: the config, a dict.
      subject: with which the error begins: "The BERT config 'x'".
      read_keys: keys that the reader hears.
      only: the values, by key, with which a key changes nothing.
      harmless: keys that change nothing with any value.
    """
    for key, value in data.items():
        if key in only:
            if value not in only[key]:
                raise ValueError(
                    f"{subject} must have {key} {only[key][0]!r}, all that is supported, "
                    f"received {reprlib.repr(value)}."
                )
        elif key not in read_keys and key not in harmless:
            raise ValueError(
                f"{subject} has the key {key!r} with the value {reprlib.repr(value)}, which is not "
                "known and may change the results; remove it from a copy of the file if it "
                "changes nothing."
            )
