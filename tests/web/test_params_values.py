"""Values of parameters, read leniently: texts, ids, lists of ids, flags."""

import math
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidings.web import params
from tidings.web.params import BadValue

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=30,
)


@given(VALUES)
@settings(max_examples=300)
def test_ids_are_read_from_any_value_and_are_in_range(value: object) -> None:
    number = params.integer(value)
    assert number is None or 1 <= number < 2**63
    assert all(1 <= each < 2**63 for each in params.id_list(value))
    assert params.truthy(value) in (True, False)


@given(SCALARS)
def test_the_text_of_any_scalar_is_absent_or_not_blank(value: object) -> None:
    read = params.text({"a": value}, "a")
    assert read is None or read.strip()


def test_text_is_the_first_that_is_present_and_not_blank() -> None:
    given_values: dict[str, object] = {"a": None, "b": " \n", "c": "", "d": " x ", "e": "y"}
    assert params.text(given_values, "missing", "a", "b", "c", "d", "e") == " x "
    assert params.text(given_values, "a", "b") is None


@pytest.mark.parametrize(
    ("value", "expected"),
    (
        (5, "5"),
        (-7, "-7"),
        (True, "true"),
        (False, "false"),
        (19.99, "19.99"),
        (1e22, "1" + "0" * 22),
        (5e-7, "0.0000005"),
    ),
)
def test_numbers_and_booleans_become_text(value: object, expected: str) -> None:
    assert params.text({"a": value}, "a") == expected


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_the_text_of_a_float_is_its_value_without_an_exponent(number: float) -> None:
    read = params.text({"a": number}, "a")
    assert read is not None
    assert set(read) <= set("-0123456789.")
    assert math.isclose(float(Decimal(read)), number, rel_tol=0, abs_tol=0)


@pytest.mark.parametrize("value", ([], ["a"], {}, {"a": 1}))
def test_a_list_or_object_for_a_text_names_the_parameter(value: object) -> None:
    with pytest.raises(BadValue, match="email must be text") as refused:
        params.text({"email": value}, "email")
    assert (refused.value.name, refused.value.expected) == ("email", "text")


@pytest.mark.parametrize(
    ("value", "expected"),
    (
        (1, 1),
        ("2765139", 2765139),
        (" 5 ", 5),
        ("007", 7),
        (2**63 - 1, 2**63 - 1),
        (str(2**63 - 1), 2**63 - 1),
        (2**63, None),
        (str(2**63), None),
        ("9" * 5000, None),
        (0, None),
        (-1, None),
        ("-1", None),
        ("+1", None),
        ("1.0", None),
        (1.0, None),
        (True, None),
        ("", None),
        ("abc", None),
        ("٣", None),
        ("²", None),
        ("1_0", None),
        (None, None),
        ([1], None),
    ),
)
def test_an_integer_is_an_id_or_nothing(value: object, expected: int | None) -> None:
    assert params.integer(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    (
        ([1, 2], [1, 2]),
        (["1", "2"], [1, 2]),
        ("1,2", [1, 2]),
        (" 1 , 2 ,,x", [1, 2]),
        (7, [7]),
        ("7", [7]),
        ({"1": "b", "10": 4, "2": 3, "0": "1"}, [1, 3, 4]),
        ({"a": 1}, []),
        ([1, None, "x", [2], {"a": 3}, True, 4.5, "5,6"], [1, 5, 6]),
        (None, []),
        ("", []),
        ([1, 1], [1, 1]),
    ),
)
def test_an_id_list_takes_every_form_and_ignores_junk(value: object, expected: list[int]) -> None:
    assert params.id_list(value) == expected


def test_an_id_list_is_cut_at_a_thousand() -> None:
    assert len(params.id_list(list(range(1, 5000)))) == 1000
    assert len(params.id_list("1," * 500_000)) == 1000


@pytest.mark.parametrize("value", (True, 1, "1", "true", "TRUE", " yes ", "on", "t", "Y"))
def test_words_for_true_are_true(value: object) -> None:
    assert params.truthy(value) is True


@pytest.mark.parametrize("value", (False, 0, 2, "0", "false", "no", "", None, [], [1], {}, "true" * 1000))
def test_everything_else_is_not_true(value: object) -> None:
    assert params.truthy(value) is False
