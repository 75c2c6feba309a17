"""Numbers read together: each as Python reads it alone."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ner_lab.data.vectors.decimals import LEAD, decimals


def read(numbers: list[str]) -> np.ndarray:
    text = bytes(LEAD) + " ".join(numbers).encode() + b"\n"
    ends = np.flatnonzero(np.isin(np.frombuffer(text, dtype=np.uint8), (32, 10)))
    starts = np.concatenate([[LEAD], ends[:-1] + 1])
    return decimals(text, starts, ends)


def alone(numbers: list[str]) -> np.ndarray:
    return np.array([float(number) for number in numbers]).astype(np.float32)


def written(number: float, places: int) -> str:
    return f"{number:.{places}f}"


usual = st.builds(written, st.floats(-9.9, 9.9), st.integers(1, 18))
others = st.one_of(
    st.floats(-1e30, 1e30).map(repr),
    st.integers(-(10**9), 10**9).map(str),
    st.floats(-5000, 5000).map(lambda number: f"{number:.3f}"),
    st.floats(-1, 1).map(lambda number: f"{number:.3e}"),
    st.sampled_from([".5", "-.5", "5.", "+0.5", "-0.0", "0.0", "007.5", "1_0.5", "9.999999999999999", "-0.1\r"]),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(usual, others), min_size=1, max_size=12))
@example(["0.00000001", "9.99999999", "-1.5"])  # eight places: all of a window
@example(["0.000000001", "9.999999999", "-1.123456789012345"])  # a window and more
@example(["7", "-7", "0.5"])
def test_every_number_is_what_float_reads(numbers: list[str]) -> None:
    found = read(numbers)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, alone(numbers))
    np.testing.assert_array_equal(np.signbit(found), np.signbit(alone(numbers)))


@pytest.mark.parametrize(
    "number", ["", "-", ".", "0.", "abc", "0.1a", "0.a1", "0.1-2", "0.12345678x0", "x.5", "--0.5", "0..5", "0.5.5", "é"]
)
def test_what_is_no_number_is_refused_unless_float_takes_it(number: str) -> None:
    try:
        expected = float(number)
    except ValueError:
        with pytest.raises(ValueError):
            read(["0.5", number, "0.25"])
    else:
        assert read(["0.5", number, "0.25"])[1] == np.float32(expected)


@pytest.mark.parametrize("number", ["nan", "inf", "-Infinity", "1e39"])
def test_what_is_not_finite_is_refused(number: str) -> None:
    with pytest.raises(ValueError), np.errstate(over="ignore"):
        read(["0.5", number])


def test_every_letter_beside_a_digit_is_told_from_one() -> None:
    for byte in set(range(256)) - set(b"0123456789_ \t\n\v\f\r"):
        for place in range(3, 13):
            number = bytearray(b"0.1234567890")
            number[place - 1] = byte
            text = bytes(LEAD) + bytes(number) + b"\n"
            try:
                expected = float(bytes(number))
            except ValueError:
                with pytest.raises(ValueError):
                    decimals(text, np.array([LEAD]), np.array([len(text) - 1]))
            else:  # 0.1e34567890, and such
                assert byte in b"eE+-"
                if abs(expected) < 1e38:
                    assert decimals(text, np.array([LEAD]), np.array([len(text) - 1])) == np.float32(expected)
