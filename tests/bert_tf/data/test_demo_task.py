import csv

import pytest

from bert_tf.data import demo_task


@pytest.fixture(scope="module")
def splits():
    return demo_task.generate()


def test_sizes_and_balance(splits):
    assert {name: len(rows) for name, rows in splits.items()} == {
        "train": 1600,
        "dev": 600,
        "test": 600,
    }
    for rows in splits.values():
        assert 0.45 < sum(label for _, label in rows) / len(rows) < 0.55


def test_sentences_are_distinct_in_all_splits(splits):
    sentences = [sentence for rows in splits.values() for sentence, _ in rows]
    assert len(set(sentences)) == 2800


def test_seed_decides():
    assert demo_task.generate(50, 5, 5, seed=3) == demo_task.generate(50, 5, 5, seed=3)
    assert demo_task.generate(50, 5, 5, seed=3) != demo_task.generate(50, 5, 5, seed=4)


def test_counting_opinion_words_is_not_enough(splits):
    positive = set(demo_task.ADJECTIVES[True])
    negative = set(demo_task.ADJECTIVES[False])

    def guess(sentence):
        words = sentence.split()
        return sum(w in positive for w in words) > sum(w in negative for w in words)

    right = sum(guess(sentence) == label for sentence, label in splits["dev"])
    assert right / len(splits["dev"]) < 0.8


def test_some_words_are_new_in_dev(splits):
    words = {
        name: {word for sentence, _ in rows for word in sentence.split()}
        for name, rows in splits.items()
    }
    opinions = {*demo_task.ADJECTIVES[True], *demo_task.ADJECTIVES[False]}
    assert len(opinions & words["dev"] - words["train"]) == len(opinions) // 4


def test_articles_fit(splits):
    text = " ".join(sentence for rows in splits.values() for sentence, _ in rows)
    assert " a awful" not in text and " an awful" in text
    assert " a honest" not in text and " an good" not in text


def test_write_in_the_layout_of_sst2(tmp_path):
    splits = demo_task.generate(20, 10, 5)
    demo_task.write(str(tmp_path / "new" / "task"), splits)
    rows = {
        name: list(
            csv.reader(
                open(tmp_path / "new" / "task" / f"{name}.tsv", encoding="utf-8"),
                delimiter="\t",
                quoting=csv.QUOTE_NONE,
            )
        )
        for name in splits
    }
    assert rows["train"][0] == rows["dev"][0] == ["sentence", "label"]
    assert rows["test"][0] == ["index", "sentence"]
    assert [(text, int(label)) for text, label in rows["dev"][1:]] == splits["dev"]
    assert rows["test"][1:] == [[str(i), text] for i, (text, _) in enumerate(splits["test"])]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["task"]


def test_a_folder_that_holds_the_task(tmp_path):
    splits = demo_task.generate(20, 10, 5)
    folder = str(tmp_path / "task")
    assert not demo_task.holds(folder, splits)
    demo_task.write(folder, splits)
    assert demo_task.holds(folder, splits)
    assert not demo_task.holds(folder, demo_task.generate(20, 10, 5, seed=1))


@pytest.mark.parametrize("name", ["num_train", "num_dev", "num_test"])
def test_sizes_are_checked(name):
    with pytest.raises(ValueError, match=f"`{name}` must be in .1, 100000., received 0"):
        demo_task.generate(**{name: 0})
    with pytest.raises(ValueError, match=f"`{name}` must be in .*, received 1000000000000"):
        demo_task.generate(**{name: 10**12})
