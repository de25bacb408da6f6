"""Exports a BERT classifier of a Hugging Face folder by PyTorch, to compare our ONNX files with.

PyTorch is not needed by this project; make an environment of its own:

    python -m venv torchenv
    torchenv/bin/pip install torch transformers onnx onnxruntime onnxscript
    torchenv/bin/python examples/torch_onnx.py FOLDER OUTPUT

writes OUTPUT/torch_eager.onnx, torch_sdpa.onnx and torch_dynamo.onnx, the three graphs that PyTorch
makes of one model (two attentions by the old exporter, one by the new), each also with weights in
int8 per output channel by onnxruntime.quantization (`_int8.onnx`), and FOLDER's model with the
weights that were exported (OUTPUT/model: a head that FOLDER lacks starts anew).
"""

import argparse
import pathlib

import torch
import transformers
from onnxruntime import quantization

NAMES = ("input_ids", "attention_mask", "token_type_ids")


class Logits(torch.nn.Module):
    """A model whose only output is its logits."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *ids):
        """Returns the logits of `NAMES`."""
        return self.model(**dict(zip(NAMES, ids, strict=True))).logits


def export(folder, path, attention, dynamo):
    """Writes a model with variable batch and length.

    Args:
      folder: path of the Hugging Face folder.
      path: path of the file to write.
      attention: "eager" or "sdpa".
      dynamo: whether the new exporter of PyTorch makes the graph.
    """
    model = transformers.AutoModelForSequenceClassification.from_pretrained(
        folder, attn_implementation=attention
    )
    ids = torch.randint(5, 1000, (2, 9))
    shared = {"input_names": list(NAMES), "output_names": ["logits"], "dynamo": dynamo}
    if dynamo:
        axes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("tokens")}
        shared |= {"dynamic_shapes": {"ids": (axes,) * len(NAMES)}, "external_data": False}
    else:
        axes = {0: "batch", 1: "tokens"}
        shared |= {"dynamic_axes": dict.fromkeys(NAMES, axes), "opset_version": 17}
    inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    torch.onnx.export(Logits(model).eval(), inputs, path, **shared)


def main():
    """Exports and quantizes."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", help="a BERT of Hugging Face")
    parser.add_argument("output", type=pathlib.Path, help="the folder to write")
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    source = str(arguments.output / "model")
    model = transformers.AutoModelForSequenceClassification.from_pretrained(arguments.folder)
    model.save_pretrained(source)
    transformers.AutoTokenizer.from_pretrained(arguments.folder).save_pretrained(source)
    for name, attention, dynamo in (
        ("eager", "eager", False),
        ("sdpa", "sdpa", False),
        ("dynamo", "sdpa", True),
    ):
        path = str(arguments.output / f"torch_{name}.onnx")
        export(source, path, attention, dynamo)
        quantization.quantize_dynamic(
            path,
            path.replace(".onnx", "_int8.onnx"),
            per_channel=True,
            weight_type=quantization.QuantType.QInt8,
        )


if __name__ == "__main__":
    main()
