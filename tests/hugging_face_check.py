"""Folders that the project writes for Hugging Face, loaded by `transformers` elsewhere.

Usage:
  .venv/bin/python tests/hugging_face_check.py write OUT     # each family, uneven, with logits
  python3 -m venv HF && HF/bin/pip install torch transformers sentence-transformers
  HF/bin/python tests/hugging_face_check.py check OUT

`write` needs ../shared; `check` needs nothing of this project, and prints the largest difference of
logits and whether ids of texts are the same.
"""

import json
import pathlib
import sys

import numpy as np

TEXTS = ["A film of rare charm.", "Größe, naïve café 🙂", "x"]
PAIRS = ["Is it good?", "No.", "y"]


def write(out):
    """Writes a folder a family, with ids and logits next to it."""
    sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1])]
    import tensorflow as tf

    from bert_tf.checkpoints import hugging_face_folder, read_source
    from bert_tf.encoders.encoder import INPUT_NAMES
    from tests.bert_tf.checkpoints import test_hugging_face_folder as cases

    shared = pathlib.Path(__file__).resolve().parents[2] / "shared" / "data" / "families"
    for name in (*cases.FOLDERS, "sentence_bert"):
        small = cases.uneven(read_source(shared / name))
        folder = out / name
        folder.mkdir(parents=True, exist_ok=True)
        hugging_face_folder.write(small, folder, name)
        tokenizer = small.tokenizer()
        batch = cases.batch_of(small)
        if small.config.head == "embedding":  # The library there tokenizes texts itself.
            ids = tokenizer.encode(TEXTS).ids
            arrays = (ids.to_tensor(tokenizer.pad_id), tf.ones_like(ids).to_tensor(0))
            arrays = (*arrays, tf.zeros_like(arrays[0]))
            batch = dict(zip(INPUT_NAMES, arrays, strict=True))
        logits = small.model()(batch).numpy()
        arrays = {key: value.numpy() for key, value in batch.items()}
        np.savez(folder / "expected.npz", logits=logits, **arrays)
        ids = [tokenizer.encode(TEXTS, other).ids.to_list() for other in (None, PAIRS)]
        (folder / "ids.json").write_text(json.dumps(ids))


def check(out):
    """Loads each folder and compares; ends with an error where one differs."""
    import sentence_transformers
    import torch
    import transformers

    worst = 0.0
    for folder in sorted(out.iterdir()):
        found = dict(np.load(folder / "expected.npz"))
        (name,) = json.loads((folder / "config.json").read_text())["architectures"]
        model = getattr(transformers, name).from_pretrained(folder).eval()
        inputs = {
            "input_ids": torch.tensor(found["input_word_ids"]).long(),
            "attention_mask": torch.tensor(found["input_mask"]).long(),
        }
        with torch.no_grad():
            outputs = model(**inputs)
        # Ours are very low at padding, theirs any.
        real = found["input_mask"].astype(bool)
        if (folder / "modules.json").exists():
            name = "SentenceTransformer"
            logits = sentence_transformers.SentenceTransformer(str(folder)).encode(TEXTS)
        elif hasattr(outputs, "logits"):
            logits = outputs.logits.numpy()
            if logits.ndim == 3:
                logits, found["logits"] = (x * real[..., None] for x in (logits, found["logits"]))
        else:
            logits = torch.stack([outputs.start_logits, outputs.end_logits], 1).numpy()
            logits, found["logits"] = (x * real[:, None] for x in (logits, found["logits"]))
        difference = np.abs(logits - found["logits"]).max()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        ids = [tokenizer(TEXTS)["input_ids"], tokenizer(TEXTS, PAIRS)["input_ids"]]
        same = ids == json.loads((folder / "ids.json").read_text())
        print(f"{folder.name}: {name}, logits differ by {difference:.2g}, same ids: {same}")
        worst = max(worst, difference, 0.0 if same else 1.0)
    if worst > 1e-5:
        sys.exit("error: a folder gives other logits or ids.")


if __name__ == "__main__":
    {"write": write, "check": check}[sys.argv[1]](pathlib.Path(sys.argv[2]))
