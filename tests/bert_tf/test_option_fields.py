"""Options made of groups: each field says what it may be and where it belongs."""

import dataclasses

import pytest

from bert_tf import option_fields
from bert_tf.option_fields import FINE_TUNING, Options, changed, option
from bert_tf.ranges import FROM_0, FROM_1


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bread:
    slices: int = option(2, "Slices.", allowed=FROM_1)
    toasted: bool = option(False, "Toasted.", runs=FINE_TUNING)

    def check_rules(self):
        option_fields.check(self, "slices", self.slices != 3, "another number than 3")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Filling:
    filling: str = option("", "What is between.", ("", "cheese", "jam"))
    layers: int = option(1, "Layers of it.", allowed=FROM_0, needs="filling")
    weights: str = option("", "Grams of each.", allowed=FROM_1, list_of=int)
    method: str = option("cold", "How.", ("cold", "grilled"))
    minutes: int = option(3, "In the grill.", allowed=FROM_1, methods=("grilled",))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sandwich(Bread, Filling, Options):
    run_kind = "sandwiches"
    slices: int = changed(Bread, "slices", 4, "More slices.")

    def check_rules(self):
        option_fields.check(self, "filling", self.slices < 9 or self.filling, "named for so many")


def test_a_class_has_the_fields_of_its_groups():
    assert set(option_fields.names(Sandwich)) == {
        *option_fields.names(Bread), *option_fields.names(Filling)
    }  # fmt: skip
    assert Sandwich().slices == 4 and Bread().slices == 2
    (field,) = (field for field in dataclasses.fields(Sandwich) if field.name == "slices")
    assert field.metadata["help"] == "More slices." and field.metadata["allowed"] is FROM_1
    assert option_fields.values_of(Sandwich(), Bread) == {"slices": 4, "toasted": False}


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"slices": 0}, "`slices` must be at least 1, received 0"),
        ({"slices": "4"}, "`slices` must be an integer, received '4'"),
        ({"toasted": 1}, "`toasted` must be true or false, received 1"),
        ({"filling": "ham"}, "`filling` must be one of cheese, jam, received 'ham'"),
        ({"weights": "5,x"}, "`weights` must be integers with commas between them"),
        ({"weights": "5,5"}, "`weights` must name each number once"),
        ({"layers": 2}, "`layers` must be left out without a `filling`, received 2"),
        ({"minutes": 9}, "`minutes` must be left out with method=cold, received 9"),
        ({"toasted": True}, "`toasted` is not for sandwiches, received True; leave it out"),
        ({"slices": 3}, "`slices` must be another number than 3, received 3"),
        ({"slices": 9}, "`filling` must be named for so many, received ''"),
    ],
)
def test_one_check_of_all_fields_and_rules(values, sentence):
    with pytest.raises(ValueError, match=sentence):
        Sandwich(**values)


def test_what_fits():
    found = Sandwich(filling="jam", layers=0, method="grilled", minutes=1, weights="5, 7")
    assert option_fields.items(found, "weights") == [5, 7]
    Bread(slices=0)  # A group alone is not checked.
