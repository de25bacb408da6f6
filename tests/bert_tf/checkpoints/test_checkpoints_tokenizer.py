"""What a foreign folder says of its tokenizer."""

import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tokenizers
from tokenizers import models, normalizers, pre_tokenizers, processors

import bert_tf
from bert_tf.checkpoints import model_dir, read_source
from bert_tf.tokenizers.tokenization import Tokenizer, read_vocab

SPECIAL = ["[UNK]", "[SEP]", "[PAD]", "[CLS]"]
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "caf", "##e", "##é", "中", "文", "中文", "good"]
TEXT = "Café 中文 good[SEP]"


@pytest.fixture
def make(hugging_face_folder):
    """Returns a function from settings to the tokenizer of a folder with them."""

    def make(settings=None, words=WORDS, **files):
        folder = hugging_face_folder(tokenizer=settings)
        (folder / "vocab.txt").write_text("\n".join(words) + "\n", "utf-8")
        for name, content in files.items():
            (folder / f"{name}.json").write_text(json.dumps(content), "utf-8")
        return read_source(folder).tokenizer()

    return make


def pieces(tokenizer, text=TEXT):
    return [tokenizer.vocab[i] for i in tokenizer.tokenize([text]).to_list()[0]]


def test_settings_are_heard(make):
    end = ["good", "[SEP]"]
    assert pieces(make({"do_lower_case": True})) == ["caf", "##e", "中", "文", *end]
    keeps = {"do_lower_case": True, "strip_accents": False}
    assert pieces(make(keeps)) == ["caf", "##é", "中", "文", *end]
    whole = {"do_lower_case": True, "tokenize_chinese_chars": False}
    assert pieces(make(whole)) == ["caf", "##e", "中文", *end]
    for false in (False, "False", "false"):
        assert pieces(make({"do_lower_case": false})) == ["[UNK]", "中", "文", *end]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"do_lower_case": "maybe"}, "do_lower_case true or false, received 'maybe'"),
        ({"do_lower_case": 1}, "do_lower_case true or false, received 1"),
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "received 'BertJapaneseTokenizer'"),
        ({"tokenizer_class": "PreTrainedTokenizerFast"}, "received 'PreTrainedTokenizerFast'"),
        ({"do_basic_tokenize": False}, "must have do_basic_tokenize True"),
        ({"never_split": ["good"]}, "must have never_split None"),
        ({"unk_token": "<unk>"}, r"must have unk_token '\[UNK\]'.* received '<unk>'"),
        ({"word_shape": 1}, "the key 'word_shape' with the value 1, which is not known"),
        ({"additional_special_tokens": 7}, "expected 'array | null'"),
    ],
)
def test_settings_of_another_tokenizer_are_refused(make, settings, sentence):
    with pytest.raises(ValueError, match=f"The tokenizer config .*{sentence}"):
        make(settings)


def test_the_class_in_the_config_of_the_model(hugging_face_folder):
    with pytest.raises(ValueError, match="must have tokenizer_class .* 'BertJapaneseTokenizer'"):
        read_source(hugging_face_folder(tokenizer_class="BertJapaneseTokenizer"))


def test_texts_that_sentence_transformers_lowers_before(make):
    lowered = {"sentence_bert_config": {"max_seq_length": 9, "do_lower_case": True}}
    assert make({"do_lower_case": True}, **lowered).do_lower_case
    with pytest.raises(ValueError, match="must have do_lower_case false with a cased tokenizer"):
        make({"do_lower_case": False}, **lowered)


def test_added_tokens(make):
    words = WORDS[:-1]
    added = {"[USER]": len(words), "<url>": len(words) + 1}
    tokenizer = make({"additional_special_tokens": ["<url>"]}, words, added_tokens=added)
    assert tokenizer.vocab[-2:] == ["[USER]", "<url>"]
    # Only tokens that are not special are compared in lower case.
    assert pieces(tokenizer, "[USER][user] <url>") == ["[USER]", "[USER]", "<url>"]
    assert "<url>" not in pieces(tokenizer, "<URL>")
    decoder = {str(i): {"content": t, "special": True} for t, i in added.items()}
    tokenizer = make({"added_tokens_decoder": decoder}, words)
    assert pieces(tokenizer, "[USER]") == ["[USER]"] != pieces(tokenizer, "[user]")


@pytest.mark.parametrize(
    ("settings", "added", "sentence"),
    [
        ({}, {"x": 99}, "must have the ids 11, 12, ... once each, received 99 of 'x'"),
        ({}, {"x": 4}, "must have the ids of the vocabulary, received 4 for 'x', which is 'caf'"),
        ({}, ["x"], "expected 'object'"),
        ({"additional_special_tokens": ["x"]}, {}, "an entry for each added token, .* none for x"),
        (
            {"added_tokens_decoder": {"a": {"content": "x"}}},
            {},
            "keys of added_tokens_decoder, received 'a'",
        ),
        (
            {"added_tokens_decoder": {"11": {"content": "x", "lstrip": True}}},
            {},
            "must have no added token with lstrip, which is not supported, received 'x'",
        ),
    ],
)
def test_added_tokens_that_do_not_fit(make, settings, added, sentence):
    with pytest.raises(ValueError, match=sentence):
        make(settings, added_tokens=added)


@pytest.mark.parametrize(
    ("folder", "word", "expected", "reason"),
    [
        ("model", "Good", False, "taken for cased by the entry 'Good'"),
        ("model", "good", True, "taken for uncased by having no capital letter"),
        ("cased_L-2_H-4", "good", False, "taken for cased by the name of its folder"),
        ("uncased_L-2", "Good", True, "taken for uncased by the name of its folder"),
    ],
)
def test_case_without_a_setting(
    hugging_face_folder, tmp_path, caplog, folder, word, expected, reason
):
    caplog.set_level("INFO", logger="absl")
    source = hugging_face_folder(tokenizer={}).rename(tmp_path / folder)
    (source / "vocab.txt").write_text("\n".join([*SPECIAL, word]), "utf-8")
    assert read_source(source).tokenizer().do_lower_case is expected
    assert reason in caplog.text and "--do_lower_case says it otherwise" in caplog.text


# tokenizer.json


def library(words=WORDS, **normalizer):
    found = tokenizers.Tokenizer(
        models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]")
    )
    found.normalizer = normalizers.BertNormalizer(**normalizer)
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    found.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    found.add_special_tokens(["[CLS]", "[SEP]", "[UNK]", "[PAD]"])
    return found


@pytest.fixture
def with_json(hugging_face_folder):
    """Returns a function that writes a folder with `tokenizer.json` alone."""

    def write(change=lambda data: None, settings=None, **normalizer):
        folder = hugging_face_folder(tokenizer=settings or {})
        (folder / "vocab.txt").unlink()
        data = json.loads(library(**normalizer).to_str())
        change(data)
        (folder / "tokenizer.json").write_text(json.dumps(data), "utf-8")
        return folder

    return write


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("strip_accents", [None, True, False])
@pytest.mark.parametrize("chinese", [True, False])
def test_the_same_ids_as_the_library(with_json, lowercase, strip_accents, chinese):
    settings = {"lowercase": lowercase, "strip_accents": strip_accents}
    settings["handle_chinese_chars"] = chinese
    tokenizer = read_source(with_json(**settings)).tokenizer()
    texts = [TEXT, "", "  GOOD\u2028good\u0085, \ue000good ΣΑΣ", "é [sep] [S\ue000EP]"]
    expected = library(**settings)
    assert tokenizer.encode(texts).ids.to_list() == [expected.encode(t).ids for t in texts]
    pairs = tokenizer.encode(texts, texts[::-1])
    encoded = expected.encode_batch(list(zip(texts, texts[::-1], strict=True)))
    assert pairs.ids.to_list() == [one.ids for one in encoded]
    assert pairs.segments.to_list() == [one.type_ids for one in encoded]


@pytest.mark.parametrize(
    ("place", "value", "sentence"),
    [
        (("model", "type"), "BPE", "must be one that the library tokenizers reads"),
        (("model", "max_input_chars_per_word"), 200, "received 200"),
        (("normalizer", "type"), "Sequence", "the normalizer.type .* received 'Sequence'"),
        (("normalizer", "clean_text"), False, "the normalizer.clean_text .* received False"),
        (("pre_tokenizer", "type"), "Whitespace", "received 'Whitespace'"),
        (("post_processor", "single"), [], "as BERT does.* in post_processor.single"),
        (("model", "vocab"), {"a": 0, "b": 2}, r"must have the ids 0, 1, \.\.\. once each"),
        (("model", "vocab"), 3, "expected 'object'"),
        (("added_tokens", 0), {"id": 2, "content": "[CLS]", "lstrip": True}, "with lstrip"),
    ],
)
def test_another_tokenizer_is_refused(with_json, place, value, sentence):
    def change(data):
        part, key = place
        data[part][key] = value

    with pytest.raises(ValueError, match=f"The tokenizer .*{sentence}"):
        read_source(with_json(change))


@pytest.mark.parametrize("word", ["a\nb", " a", "a\t", "a\r"])
def test_an_entry_that_a_line_cannot_hold(with_json, word):
    folder = with_json(lambda data: data["model"]["vocab"].update({word: len(WORDS)}))
    with pytest.raises(ValueError, match="line breaks, or blanks at its ends, in an entry"):
        read_vocab(str(folder / "tokenizer.json"))


def test_what_tokenizer_config_leaves_open(with_json, tmp_path):
    folder = with_json(settings={"strip_accents": None}, strip_accents=False, lowercase=True)
    assert pieces(read_source(folder).tokenizer(), "Café") == ["caf", "##é"]
    named = tmp_path / "words.txt"
    named.write_text("\n".join(WORDS), "utf-8")
    source = read_source(folder, vocab_file=str(named))
    assert source.vocab_file == str(named)
    assert pieces(source.tokenizer(), "Café[SEP]") == ["caf", "##é", "[SEP]"]


def test_files_that_contradict_each_other(with_json):
    folder = with_json(settings={"do_lower_case": True}, lowercase=False)
    with pytest.raises(ValueError, match="must agree with .*, received do_lower_case True and Fal"):
        read_source(folder)
    folder = with_json()
    (folder / "vocab.txt").write_text("\n".join(WORDS[::-1]), "utf-8")
    with pytest.raises(ValueError, match="must have the tokens of .*tokenizer.json', received oth"):
        read_source(folder)


# What becomes of it


def test_rules_outlive_a_model_directory(with_json, tmp_path):
    source = read_source(with_json(strip_accents=False, handle_chinese_chars=False))
    tokenizer = source.tokenizer()
    out = tmp_path / "ours"
    model_dir.save(out, source.model(), tokenizer)
    assert pathlib.Path(out, "vocab.txt").read_text("utf-8").split("\n")[:-1] == WORDS
    for again in (bert_tf.load_tokenizer(out), read_source(out).tokenizer()):
        assert again.vocab == tokenizer.vocab and again.rules == tokenizer.rules
        assert pieces(again) == ["caf", "##é", "中文", "good", "[SEP]"]


@pytest.mark.parametrize("text", ['{"do_lower_case": "yes"}', '{"lower": true}'])
def test_damaged_rules_of_ours(bert_dir, tmp_path, text):
    source = read_source(bert_dir)
    out = tmp_path / "ours"
    model_dir.save(out, source.model(), source.tokenizer())
    (out / "tokenizer_config.json").write_text(text)
    with pytest.raises(ValueError, match=r"tokenizer_config.json' (is damaged|must have the keys)"):
        bert_tf.load_tokenizer(out)


def test_rules_work_in_a_graph(vocab_file):
    tokenizer = Tokenizer(
        vocab_file, strip_accents=False, tokenize_chinese_chars=False, special_tokens=SPECIAL
    )
    signature = [tf.TensorSpec([None], tf.string)]
    in_graph = tf.function(tokenizer.tokenize, input_signature=signature)
    texts = ["good [SEP] warm film", "", "x[PAD]y"]
    assert in_graph(tf.constant(texts)).to_list() == tokenizer.tokenize(texts).to_list()


# As people have them


@pytest.mark.parametrize(
    "name", ["tokenizer_lower_keep_accents", "tokenizer_no_chinese", "tokenizer_string_false"]
)
def test_the_same_ids_as_transformers(shared, name):
    faults = shared / "faults"
    texts = json.loads((faults / "tokenizer_texts.json").read_text("utf-8"))
    expected = json.loads((faults / name / "ref.json").read_text("utf-8"))
    tokenizer = read_source(faults / name).tokenizer()
    assert tokenizer.encode(texts, max_seq_length=512).ids.to_list() == expected


@pytest.mark.parametrize(
    "name",
    ["bert_classes", "bert_regression", "bert_span", "bert_tokens", "bert_sharded"]
    + ["bert_bfloat16", "sentence_bert"],
)
def test_families_give_the_ids_and_outputs_of_their_authors(shared, name):
    folder = shared / "data" / "families" / name
    source = read_source(folder)
    texts = json.loads((folder / "texts.json").read_text("utf-8"))
    tokenizer = source.tokenizer()
    assert tokenizer.encode(texts["texts"]).ids.to_list() == texts["single_ids"]
    if texts["pairs"]:
        pairs = tokenizer.encode(texts["texts"], texts["pairs"])
        assert pairs.ids.to_list() == texts["pair_ids"]
    expected = np.load(folder / "expected.npz")
    features = {
        "input_word_ids": expected["input_ids"],
        "input_mask": expected["attention_mask"],
        "input_type_ids": expected["token_type_ids"],
    }
    features = {key: tf.constant(value, tf.int32) for key, value in features.items()}
    model = source.model()
    found = {"out_hidden_last": model.encoder(features)["sequence_output"]}
    if source.has_head:
        logits = model(features, training=False)
        if source.config.head == "span":
            found |= {"out_start_logits": logits[:, 0], "out_end_logits": logits[:, 1]}
        else:
            kind = "embedding" if source.config.head == "embedding" else "logits"
            found[f"out_{kind}"] = logits
    real = expected["attention_mask"] == 1
    for key, value in found.items():
        by_token = value.shape[:2] == real.shape
        value, other = (a[real] if by_token else a for a in (value.numpy(), expected[key]))
        # Their own outputs of bfloat16 weights are rounded in each layer.
        tolerance = 0.05 if name == "bert_bfloat16" else 1e-5
        np.testing.assert_allclose(value, other, rtol=0, atol=tolerance)
