"""Tokenizers that the library reads as a whole."""

import json

import pytest
import tensorflow as tf
import tokenizers

from bert_tf.checkpoints import model_dir, read_source, tokenizer_files
from bert_tf.encoders.config import EncoderConfig
from bert_tf.models.bert import BertModel
from bert_tf.surgery import vocabulary
from bert_tf.tokenizers.library import LibraryTokenizer
from bert_tf.tokenizers.tokenizer import Encoded

TEXTS = ["a bad film", "", "good  🙂 film\n", "film " * 9]
OTHERS = ["no", "yes it is", "film film film", "a bad " * 9]


def byte_level(template="roberta"):
    """Returns a byte-level BPE tokenizer of a few words, as RoBERTa's are."""
    found = tokenizers.Tokenizer(tokenizers.models.BPE())
    found.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=290,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],
    )
    found.train_from_iterator([*TEXTS, *OTHERS] * 9, trainer)
    if template == "roberta":
        found.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    return found


@pytest.fixture
def folder(tmp_path):
    byte_level().save(str(tmp_path / "tokenizer.json"))
    return tmp_path


def test_ids_are_those_of_the_library(folder):
    tokenizer, theirs = LibraryTokenizer(folder / "tokenizer.json"), byte_level()
    assert (tokenizer.pad_id, tokenizer.cls_id, tokenizer.sep_id) == (1, 0, 2)
    assert tokenizer.special_ids == (0, 1, 2, 3, 4) and tokenizer.mask_id == 4
    assert tokenizer.unknown == "<unk>"
    assert tokenizer.vocab[4] == "<mask>" and len(tokenizer.vocab) == theirs.get_vocab_size()
    for texts in ([TEXTS], [TEXTS, OTHERS]):
        found = tokenizer.encode(*texts, max_seq_length=200)
        expected = theirs.encode_batch(list(zip(*texts, strict=True)) if len(texts) > 1 else TEXTS)
        assert isinstance(found, Encoded)
        assert found.ids.to_list() == [one.ids for one in expected]
        assert not any(map(any, found.segments.to_list()))
    tensor = tokenizer.tokenize(tf.constant(TEXTS))
    assert tensor.to_list() == tokenizer.tokenize(TEXTS).to_list()


def test_pairs_are_cut_as_all_others_are(folder):
    tokenizer = LibraryTokenizer(folder / "tokenizer.json")
    first, second = (tokenizer.tokenize(texts).to_list()[-1] for texts in (TEXTS, OTHERS))
    (ids,) = tokenizer.encode(TEXTS[-1:], OTHERS[-1:], max_seq_length=11).ids.to_list()
    assert ids == [0, *first[:4], 2, 2, *second[:3], 2]
    assert tokenizer.encode([], max_seq_length=3).ids.to_list() == []
    with pytest.raises(ValueError, match="`max_seq_length` must be at least 6 to hold"):
        tokenizer.encode(TEXTS, OTHERS, max_seq_length=5)


def test_it_is_kept_in_a_model_directory(folder, tmp_path):
    settings = {"pad_token": "<pad>", "mask_token": {"content": "<mask>"}, "errors": "replace"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    path, rules = tokenizer_files.read(folder)
    assert rules == {"pad_token": "<pad>", "mask_token": "<mask>"}
    tokenizer = LibraryTokenizer(path, **rules)
    assert tokenizer.mask_id == 4
    config = EncoderConfig(300, 8, 1, 2, 8, max_position_embeddings=20)
    model_dir.save(str(tmp_path / "model"), BertModel(config), tokenizer)
    source = read_source(tmp_path / "model")
    again = source.tokenizer()
    assert (again.digest, again.rules) == (tokenizer.digest, tokenizer.rules)
    assert again.encode(TEXTS).ids.to_list() == tokenizer.encode(TEXTS).ids.to_list()
    assert model_dir.read(str(tmp_path / "model")).vocab_file == source.vocab_file
    with pytest.raises(ValueError, match="`do_lower_case` must be left out, .* received True"):
        source.tokenizer(do_lower_case=True)
    content = json.loads((tmp_path / "model" / "tokenizer.json").read_text())
    content["added_tokens"][4]["content"] = "<other>"
    (tmp_path / "model" / "tokenizer.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match="must have the (words|token)"):
        read_source(tmp_path / "model").tokenizer()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"add_prefix_space": True}, "must agree with .*add_prefix_space True and False"),
        ({"do_lower_case": True}, "must have do_lower_case False"),
        ({"additional_special_tokens": ["<new>"]}, "must name added tokens of .* '<new>'"),
        ({"new_key": 1}, "has the key 'new_key'"),
    ],
)
def test_settings_that_would_give_other_ids(folder, settings, sentence):
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match=sentence):
        tokenizer_files.read(folder)


def test_a_vocabulary_of_the_other_kind(folder, tmp_path):
    """The file that is used decides, and what the folder says of another one does not count."""
    words = tmp_path / "vocab.txt"
    words.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "film"]) + "\n")
    assert tokenizer_files.read(folder, str(words)) == (str(words), {})
    config = EncoderConfig(300, 8, 1, 2, 8, max_position_embeddings=20)
    model, path = str(tmp_path / "model"), str(folder / "tokenizer.json")
    model_dir.save(model, BertModel(config), LibraryTokenizer(path))
    tokenizer = read_source(model, vocab_file=str(words)).tokenizer(do_lower_case=True)
    assert tokenizer.encode(["film"]).ids.to_list() == [[2, 5, 3]]
    model_dir.save(str(tmp_path / "words"), BertModel(config), tokenizer)
    found = read_source(tmp_path / "words", vocab_file=path).tokenizer()
    assert found.digest == LibraryTokenizer(path).digest


def test_folders_that_lack_the_file(tmp_path):
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer"}')
    (tmp_path / "vocab.json").write_text("{}")
    assert tokenizer_files.read(tmp_path) == (None, {})


def test_a_vocabulary_without_a_letter_of_ours(tmp_path):
    path = str(tmp_path / "tokenizer.json")
    found = tokenizers.Tokenizer(tokenizers.models.BPE({"<s>": 0, "ж": 1, "</s>": 2}, []))
    found.add_special_tokens(["<s>", "</s>"])
    found.post_processor = tokenizers.processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    found.save(path)
    assert LibraryTokenizer(path, pad_token="<s>").encode(["жж"]).ids.to_list() == [[0, 1, 1, 2]]
    found = tokenizers.Tokenizer(tokenizers.models.BPE({"<s>": 0, "</s>": 1}, []))
    found.add_special_tokens(["<s>", "</s>"])
    found.save(path)
    with pytest.raises(ValueError, match="must make tokens of a text and of a pair"):
        LibraryTokenizer(path, pad_token="<s>")


def test_what_needs_words_says_so(folder):
    tokenizer = LibraryTokenizer(folder / "tokenizer.json")
    with pytest.raises(ValueError, match="`cut_vocabulary` needs a vocabulary of WordPieces, rec"):
        vocabulary.needed(tokenizer)


def test_the_characters_of_tokens(folder):
    tokenizer, text = LibraryTokenizer(folder / "tokenizer.json"), " ab  é🙂 "
    ((ids, offsets),) = tokenizer.with_offsets([text])
    assert ids == tokenizer.tokenize([text]).to_list()[0]
    parts = [text[start:end] for start, end in offsets]
    assert "".join(dict.fromkeys("".join(parts))) == "abé🙂" and parts == list(
        map(str.strip, parts)
    )


def test_files_that_are_none(tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps({"model": {"type": "BPE", "vocab": {"a": 0}}}))
    with pytest.raises(ValueError, match="must be one that the library tokenizers reads: "):
        LibraryTokenizer(path)
    byte_level("none").save(str(path))
    with pytest.raises(ValueError, match="after a text, received the post_processor None"):
        LibraryTokenizer(path)
    byte_level().save(str(path))
    with pytest.raises(ValueError, match="must have the token '<hidden>', received none"):
        LibraryTokenizer(path, mask_token="<hidden>")
    for damage in ({"padding": "x"}, {"added_tokens": [{"id": 0}]}, {"pre_tokenizer": [1]}):
        path.write_text(json.dumps({"model": {"type": "BPE"}, **damage}))
        with pytest.raises(ValueError, match=r"The tokenizer '.*tokenizer.json' is damaged"):
            LibraryTokenizer(path)
    path.write_text("[")
    with pytest.raises(ValueError, match=r"The tokenizer '.*tokenizer.json' .*JSON"):
        LibraryTokenizer(path)
