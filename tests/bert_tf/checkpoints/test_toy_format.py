"""A format of checkpoints that nothing but this file knows is recognised, read and pruned."""

import json
import shutil

import numpy as np
import pytest
import safetensors.numpy

import bert_tf
from bert_tf.checkpoints import read_source
from bert_tf.checkpoints.formats import FORMATS, ForeignFormat, register_format
from bert_tf.families.names import From, Names
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions, FactorizeOptions, RemoveOptions
from bert_tf.models.weight_paths import expected_shapes
from bert_tf.runs import finetuning
from flop_tf import surgery


class Upside(ForeignFormat):
    """Safetensors by our paths with a mark before them, each array turned upside down."""

    config_file = "upside.json"

    @staticmethod
    def recognises(variables):
        return any(name.startswith("up:") for name in variables.shapes)

    def names(self, about):
        paths = expected_shapes(about.config)
        return Names({path: From(f"up:{path}", np.flipud) for path in paths})


@pytest.fixture
def known():
    """The format is unknown again afterwards."""
    with FORMATS.temporary():
        yield register_format("upside")(Upside)


@pytest.fixture
def theirs(known, bert_dir, vocab_file, tmp_path):
    """A folder as another program wrote it, and the model in it."""
    folder, model = tmp_path / "theirs", bert_tf.load(bert_dir)
    folder.mkdir()
    weights = surgery.named_weights(model)
    flipped = {f"up:{path}": np.flipud(array).copy() for path, array in weights.items()}
    safetensors.numpy.save_file(flipped, folder / "model.safetensors")
    (folder / "upside.json").write_text(json.dumps(model.config.to_dict()))
    shutil.copy(vocab_file, folder / "vocab.txt")
    return str(folder), model


def test_a_format_of_ones_own(theirs, bert_dir):
    folder, model = theirs
    source = read_source(folder)
    assert (source.format, source.config) == ("upside", model.config)
    assert source.tokenizer().vocab == bert_tf.load_tokenizer(bert_dir).vocab
    weights = surgery.named_weights(model)
    for path, array in surgery.named_weights(source.model()).items():
        np.testing.assert_array_equal(array, weights[path])


def test_the_chain(theirs, options, export, tmp_path):
    """No format of another program has a writer: from the first stage on, folders are ours."""
    factorized, compact = str(tmp_path / "factorized"), str(tmp_path / "compact")
    stages.factorize(FactorizeOptions(theirs[0], factorized, finetuned=True))
    gated = options(
        init_checkpoint=factorized, gate="hard_concrete", target_sparsity=0.4, num_train_epochs=1
    )
    finetuning.finetune(gated)
    assert stages.remove_mask(RemoveOptions(gated.output_dir, compact)) < 1e-5
    assert stages.evaluate(EvaluateOptions(compact))["dev"]["eval_accuracy"] > 0.5
    report = export(compact, str(tmp_path / "exported"), format_names=["saved_model"])
    assert report["formats"]["saved_model"]["largest_difference"] <= 1e-5
