"""SQuAD by the offsets of tokens: RoBERTa's byte-level BPE, XLM-R's Unigram."""

import numpy as np
import pytest
from official.nlp.tools import squad_evaluate_v1_1

from bert_tf.checkpoints import model_dir, read_source
from bert_tf.methods.flop import stages
from bert_tf.methods.flop.stage_options import EvaluateOptions
from bert_tf.runs import finetuning
from bert_tf.runs.options import FinetuneOptions
from bert_tf.tasks import registry, squad_examples, squad_windows
from bert_tf.tasks.squad_examples import SquadExamples

FOLDERS = ["roberta_classes", "xlm_roberta_classes"]
SETTINGS = {"doc_stride": 20, "max_query_length": 12}


@pytest.fixture(params=FOLDERS)
def source(shared, request):
    return read_source(shared / "data" / "families" / request.param)


def question(name, context, answer="", **known):
    answers = [{"text": answer, "answer_start": context.index(answer)}] if answer else []
    qa = {"id": name, "question": "Who was it?", "answers": answers, **known}
    return {"context": context, "qas": [qa]}


def logits_of(encoded, spans):
    width = int(encoded.lengths.max())
    logits = np.full([len(encoded), 2, width], -1e9, np.float32)
    for row, (length, (start, end)) in enumerate(zip(encoded.lengths, spans, strict=True)):
        logits[row, :, :length] = 0
        logits[row, 0, start] = logits[row, 1, end] = 9.0 if start else 1.0
    return logits


def test_a_whole_paragraph_is_what_the_library_makes(source):
    tokenizer, context = source.tokenizer(), "It was  Zoë 🙂 (the 2nd)."
    data = SquadExamples([{"title": "", "paragraphs": [question("0", context, "Zoë 🙂")]}])
    encoded = squad_windows.encode(data, tokenizer, 60, doc_stride=20, max_query_length=12)
    expected = tokenizer.encode(["Who was it?"], [context], 60)
    assert encoded.ids.to_list() == expected.ids.to_list()
    assert encoded.segments.to_list() == expected.segments.to_list()
    best, n_best = squad_windows.answers(encoded, logits_of(encoded, encoded.labels), 20, 30)
    assert best == {"0": "Zoë 🙂"} and n_best["0"][0]["text"] == "Zoë 🙂"


def test_windows_hold_the_answers_of_real_questions(source, shared):
    """A model that points at each label gives all of the answers."""
    examples = squad_examples.read(shared / "data" / "squad" / "xquad.en.json")
    examples = examples.take(range(0, 1190, 12))
    settings, tokenizer = {**SETTINGS, "doc_stride": 60}, source.tokenizer()
    encoded = squad_windows.encode(examples, tokenizer, 128, **settings)
    assert encoded.lengths.max() == 128 and len(encoded) > 3 * len(examples)
    best, _ = squad_windows.answers(encoded, logits_of(encoded, encoded.labels), 20, 100)
    assert squad_evaluate_v1_1.evaluate(examples.articles, best)["exact_match"] == 1.0
    training = squad_windows.encode(examples, tokenizer, 128, **settings, training=True)
    np.testing.assert_array_equal(training.labels, encoded.labels)
    assert tokenizer.num_special(2) == 4
    with pytest.raises(ValueError, match="must be at least 17, to hold questions of"):
        squad_windows.encode(examples, source.tokenizer(), 16, **SETTINGS)


def test_answers_that_are_not_there(source, caplog):
    wrong = question("1", "He was here.", "He")
    wrong["qas"][0]["answers"][0]["answer_start"] = 1
    paragraphs = [question("0", "It was Zoë.", "Zoë"), wrong, question("2", "Nothing.", "")]
    for one in paragraphs:
        one["qas"][0]["is_impossible"] = not one["qas"][0]["answers"]
    data = SquadExamples([{"title": "", "paragraphs": paragraphs}])
    tokenizer = source.tokenizer()
    trained = squad_windows.encode(data, tokenizer, 60, **SETTINGS, training=True)
    assert len(trained) == 2 and trained.labels[1].tolist() == [0, 0]
    assert "Left out 1 of 3 questions" in caplog.text
    encoded = squad_windows.encode(data, tokenizer, 60, **SETTINGS)
    task, logits = registry.get("squad2", **SETTINGS), logits_of(encoded, encoded.labels)
    best, _ = task._answers(logits, encoded)
    assert best == {"0": "Zoë", "1": "", "2": ""}


def test_a_run(shared, tmp_path):
    """A few steps of RoBERTa, which show that training, scores and predictions fit together."""
    examples = squad_examples.read(shared / "data" / "squad" / "xquad.en.json")
    dev, train = (examples.take(range(start, start + 10)) for start in (0, 300))
    train.write(tmp_path / "train-v1.1.json")
    dev.write(tmp_path / "dev-v1.1.json")
    options = FinetuneOptions(
        task_name="squad",
        data_dir=str(tmp_path),
        init_checkpoint=str(shared / "data" / "families" / "roberta_classes"),
        output_dir=str(tmp_path / "out"),
        max_seq_length=60,
        length_buckets="60",
        train_batch_size=16,
        num_train_epochs=1,
        **SETTINGS,
    )
    scores = finetuning.finetune(options)["dev"]
    again = stages.evaluate(EvaluateOptions(options.output_dir, output_dir=str(tmp_path / "e")))
    assert again["dev"] == pytest.approx(scores, rel=1e-4)
    assert (tmp_path / "e" / "predictions.json").is_file()
    assert model_dir.load(options.output_dir).config.head == "span"
