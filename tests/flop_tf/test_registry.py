import pytest

from flop_tf.registry import Registry


@pytest.fixture
def animals():
    animals = Registry("animal")
    animals.register("cat")(int)
    animals.register("dog")(str)
    return animals


def test_finds_by_name_in_the_order_of_registration(animals):
    assert animals["dog"] is str
    assert list(animals) == ["cat", "dog"]
    assert "cat" in animals and "cow" not in animals
    assert animals.name_of(int) == "cat" and animals.name_of(float) is None


def test_an_unknown_name_gets_the_nearest(animals):
    with pytest.raises(ValueError, match=r"Unknown animal 'dogs', did you mean 'dog'\? Expected"):
        animals["dogs"]


def test_a_name_belongs_to_one(animals):
    animals.register("cat")(int)  # A module that is imported anew registers the same again.
    with pytest.raises(
        ValueError, match="The animal 'cat' is registered already, as <class 'int'>"
    ):
        animals.register("cat")(float)


def test_two_instances_of_a_class_are_two(animals):
    class Cow: ...

    cow = Cow()
    animals.register("cow")(cow)
    animals.register("cow")(cow)
    with pytest.raises(ValueError, match="The animal 'cow' is registered already, as <.*Cow obj"):
        animals.register("cow")(Cow())
    assert animals["cow"] is cow


def test_what_is_temporary_is_forgotten_after_an_error_too(animals):
    with pytest.raises(KeyError), animals.temporary(dog=bytes):
        animals.register("cow")(set)
        assert dict(animals.items()) == {"cat": int, "dog": bytes, "cow": set}
        raise KeyError
    assert dict(animals.items()) == {"cat": int, "dog": str}


def test_every_module_of_the_folder_is_imported_before_the_first_look(tmp_path, monkeypatch):
    folder = tmp_path / "some_animals"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from flop_tf.registry import Registry\nANIMALS = Registry('animal', __name__)\n"
    )
    (folder / "cow.py").write_text(
        "from some_animals import ANIMALS\n\n\n@ANIMALS.register('cow')\nclass Cow: ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    import some_animals

    assert list(some_animals.ANIMALS) == ["cow"]


def test_names_that_pass_a_test_are_looked_up_anew(animals):
    short = animals.where(lambda item: len(item.__name__) == 3)
    assert list(short) == ["cat", "dog"] and len(short) == 2
    animals.register("cow")(set)
    animals.register("mouse")(float)
    assert list(short.after("", "none")) == ["", "none", "cat", "dog", "cow"]
    assert "cow" in short and "mouse" not in short and "none" not in short
