"""Range headers, as players send them and as nobody should."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloist.wire.byte_range import RangeError, parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-", (0, 1000)),
        ("bytes=999-", (999, 1000)),
        ("bytes=100-199", (100, 200)),
        ("bytes=900-5000", (900, 1000)),
        ("bytes=-1", (999, 1000)),
        ("bytes=-5000", (0, 1000)),
        ("bytes=5-4", None),
        ("bytes=0-1,5-6", None),
        ("bytes=-", None),
        ("items=0-1", None),
        ("", None),
    ],
)
def test_a_range_is_read_as_the_specification_says(header, expected):
    assert parse_range(header, 1000) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=1000-", 1000), ("bytes=-0", 1000), ("bytes=0-", 0)])
def test_a_range_outside_the_object_cannot_be_satisfied(header, size):
    with pytest.raises(RangeError):
        parse_range(header, size)


@given(st.one_of(st.text(), st.from_regex(r"bytes=\d*-\d*", fullmatch=True)), st.integers(0, 10**15))
def test_whatever_is_asked_for_lies_within_the_object(header, size):
    try:
        found = parse_range(header, size)
    except RangeError:
        return
    assert found is None or 0 <= found[0] < found[1] <= size
