"""The input contract: a record that says exactly what it takes, or is refused by the name of its field."""

import pytest

from legoclf.contract import InputContract, unit_range_contract
from legoclf.errors import ContractError

GOOD = unit_range_contract(224, 160).to_json()


def test_a_record_read_back_is_the_same_contract():
    assert InputContract.from_json(GOOD) == unit_range_contract(224, 160)


@pytest.mark.parametrize("field", sorted(GOOD))
def test_a_missing_field_is_refused_by_name(field):
    record = {name: value for name, value in GOOD.items() if name != field}
    with pytest.raises(ContractError, match="input.{}: missing".format(field)):
        InputContract.from_json(record)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("width", 0),
        ("width", True),
        ("height", 224.0),
        ("height", 100000),
        ("colour_order", "rgb"),
        ("geometry", "stretch"),
        ("resample", "nearest"),
        ("scale", "1/255"),
        ("scale", 0),
        ("scale", float("nan")),
        ("offset", None),
        ("offset", float("inf")),
    ],
)
def test_a_value_outside_its_range_is_refused_by_the_name_of_its_field(field, value):
    with pytest.raises(ContractError, match="input.{}: got".format(field)):
        InputContract.from_json(dict(GOOD, **{field: value}))


def test_an_unknown_field_is_refused_for_it_might_change_the_meaning():
    with pytest.raises(ContractError, match="input.mean: unknown field"):
        InputContract.from_json(dict(GOOD, mean=[0.5]))


def test_something_else_than_an_object_is_refused():
    with pytest.raises(ContractError, match="expected an object"):
        InputContract.from_json(None)
