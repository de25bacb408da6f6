"""Folders of sentence-transformers, read and written back."""

import json

import numpy as np
import pytest

from bert_tf.checkpoints import hugging_face_folder, model_dir, read_source
from bert_tf.data import batching
from bert_tf.data.examples import Examples
from bert_tf.encoders.config import POOLINGS
from bert_tf.runs import evaluation
from bert_tf.surgery import units

PACKAGE = "sentence_transformers.models."
MEAN = {"pooling_mode_mean_tokens": True, "word_embedding_dimension": 32}


@pytest.fixture
def sentence_folder(hugging_face_folder):
    """Returns a function that writes a folder of sentence-transformers.

    Args of the function: types of modules after the Transformer, and the config of the pooling.
    """

    def write(*kinds, pooling=MEAN, without=("classifier.kernel", "classifier.bias"), **files):
        folder = hugging_face_folder(without, architectures=["BertModel"])
        modules = [{"path": "", "type": f"{PACKAGE}Transformer"}]
        modules += [
            {"path": f"{number}_{kind}", "type": PACKAGE + kind}
            for number, kind in enumerate(kinds, 1)
        ]
        (folder / "modules.json").write_text(json.dumps(modules))
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))
        for name, data in files.items():
            (folder / f"{name}.json").write_text(json.dumps(data))
        return folder

    return write


def embeddings(source, texts, length):
    encoded = batching.encode(Examples(texts, None, None, texts), source.tokenizer(), length)
    return evaluation.predict(source.model(), encoded, 4)


def test_the_authors_embeddings(shared):
    folder = shared / "data" / "families" / "sentence_bert"
    source = read_source(folder)
    config = source.config
    assert (config.head, config.pooling, config.normalized) == ("embedding", "mean", True)
    assert source.has_head and source.info == {"family": "bert", "max_seq_length": 24}
    texts = json.loads((folder / "texts.json").read_text())["texts"]
    expected = np.load(folder / "expected.npz")["out_embedding"]
    np.testing.assert_allclose(embeddings(source, texts, 24), expected, atol=1e-5)


@pytest.mark.parametrize("kind", POOLINGS)
def test_written_and_read_again(shared, tmp_path, kind):
    source = read_source(shared / "data" / "families" / "sentence_bert")
    fields = {"pooling": kind, "normalized": kind == "mean"}
    model = source.model(**fields)
    model_dir.save(tmp_path / "own", model, source.tokenizer(), **source.info)
    own = model_dir.read(tmp_path / "own")
    # Blocks of different sizes, which are filled up there.
    mask = {"blocks.0.heads": np.array([1, 0, 1, 0]), "blocks.1.neurons": np.arange(96) < 50}
    config, weights = units.remove(own.config, own.weights, mask)
    own = own.__class__(**{**vars(own), "config": config, "weights": weights})
    folder = tmp_path / "theirs"
    folder.mkdir()
    hugging_face_folder.write(own, folder, "small")
    again = read_source(folder)
    assert {name: getattr(again.config, name) for name in fields} == fields
    assert again.info["max_seq_length"] == 24
    texts = ["A film of rare charm.", "", "x", "Größe [SEP] naïve café 🙂 " * 9]
    found = [embeddings(one, texts, 24) for one in (own, again)]
    np.testing.assert_allclose(*found, atol=1e-5)
    modules = json.loads((folder / "modules.json").read_text())
    assert [one["path"] for one in modules] == ["", "1_Pooling", "2_Normalize"][
        : 2 + (kind == "mean")
    ]
    assert all((folder / one["path"]).is_dir() for one in modules)
    pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
    assert pooling.pop("word_embedding_dimension") == 48
    assert [key for key, value in pooling.items() if value] == [f"pooling_mode_{kind}_tokens"] or (
        kind == "cls" and pooling["pooling_mode_cls_token"]
    )
    settings = json.loads((folder / "sentence_bert_config.json").read_text())
    assert settings == {"max_seq_length": 24, "do_lower_case": False}
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["BertModel"]
    assert "library_name: sentence-transformers\n" in (folder / "README.md").read_text()


def test_a_model_of_another_task_from_it(shared):
    source = read_source(shared / "data" / "families" / "sentence_bert")
    config = source.model(head="classifier", num_labels=3).config
    assert (config.pooling, config.normalized) == ("mean", False)


@pytest.mark.parametrize("pooling", [{"pooling_mode": "cls"}, {"pooling_mode_cls_token": True}])
def test_keys_of_old_and_new_versions(sentence_folder, pooling):
    source = read_source(sentence_folder("Pooling", pooling=pooling))
    assert (source.config.pooling, source.config.normalized) == ("cls", False)
    assert source.info["max_seq_length"] == source.config.num_positions  # None is named.


def test_the_transformer_alone(sentence_folder):
    folder = sentence_folder("Pooling", "Dense")
    assert read_source(folder / "model.safetensors").config.head == "classifier"
    modules = json.loads((folder / "modules.json").read_text())[:1]
    (folder / "modules.json").write_text(json.dumps(modules))
    assert not read_source(folder).has_head


def test_a_head_of_the_transformer_is_left_out(sentence_folder):
    source = read_source(sentence_folder("Pooling", without=()))
    assert source.has_head and not [path for path in source.weights if "classifier" in path]


@pytest.mark.parametrize(
    ("kinds", "settings", "sentence"),
    [
        (
            ("Pooling", "Dense", "Normalize"),
            {},
            "must have a Pooling after the Transformer and at most a Normalize after it, received "
            ".*models.Dense.*; name the file of the weights to read the Transformer alone",
        ),
        (("Normalize",), {}, "must have a Pooling after the Transformer"),
        (("Pooling", "Pooling"), {}, "must have a Pooling after the Transformer"),
        (
            ("Pooling",),
            {"pooling": {"pooling_mode_mean_sqrt_len_tokens": True}},
            r"config.json' must have one mode of \['mean', 'cls', 'max'\], received "
            r"\['mean_sqrt_len'\]",
        ),
        (
            ("Pooling",),
            {"pooling": {**MEAN, "pooling_mode_cls_token": True}},
            r"must have one mode .*, received \['mean', 'cls'\]",
        ),
        (("Pooling",), {"pooling": {}}, r"must have one mode .*, received \[\]"),
        (("Pooling",), {"pooling": {"pooling_mode": "lasttoken"}}, r"received \['lasttoken'\]"),
        (("Pooling",), {"pooling": {"pooling_mode": 3}}, "must have values that fit"),
        (
            ("Pooling",),
            {"pooling": {**MEAN, "word_embedding_dimension": 31}},
            "must have the word_embedding_dimension 32 of its Transformer, received 31",
        ),
        (
            ("Pooling",),
            {"sentence_bert_config": {"max_seq_length": "long"}},
            "sentence_bert_config.json' is damaged|expected 'int",
        ),
        (
            ("Pooling",),
            {"config_sentence_transformers": {"default_prompt_name": "query"}},
            "must have no default_prompt_name, .*, received 'query'; set it to null",
        ),
    ],
)
def test_modules_that_are_refused(sentence_folder, kinds, settings, sentence):
    folder = sentence_folder(*kinds, **settings)
    with pytest.raises(ValueError, match=sentence):
        read_source(folder)


def test_a_pooling_without_its_file(sentence_folder):
    folder = sentence_folder("Pooling")
    (folder / "1_Pooling" / "config.json").unlink()
    with pytest.raises(ValueError, match="names a Pooling, but .*1_Pooling' has no 'config.json'"):
        read_source(folder)
