"""Strict JSON: what is refused, what is let through, and how much work a hostile body can cause."""

import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloist.api.body import DEPTH_MAX, parse_object
from soloist.model.errors import MalformedBodyError

scalars = st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=8)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner), max_leaves=9
)


@given(st.dictionaries(st.text(max_size=5), values, max_size=4))
def test_an_object_comes_back_as_it_is(value):
    assert parse_object(json.dumps(value).encode()) == value


@given(st.binary(max_size=60))
def test_any_bytes_give_an_object_or_a_malformed_body(raw):
    with contextlib.suppress(MalformedBodyError):
        assert isinstance(parse_object(raw), dict)


def test_no_bytes_are_an_empty_object():
    assert parse_object(b"") == {}


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"7",
        b" ",
        b'{"a": NaN}',
        b'{"a": Infinity}',
        b'{"a": -Infinity}',
        b'{"a": 1, "a": 2}',
        b'{"x": {"a": 1, "a": 1}}',
        b'{"a": null, "a": 1}',
        b'{"a": "\xff"}',
        b'\xef\xbb\xbf{"a": 1}',
        '{"a": 1}'.encode("utf-16"),
        b'{"a": 1} {"b": 2}',
        b'{"a": "line\nbreak"}',
        b"{'a': 1}",
    ],
)
def test_this_is_malformed(raw):
    with pytest.raises(MalformedBodyError):
        parse_object(raw)


def test_null_is_absent_at_every_depth():
    assert parse_object(b'{"a": null, "b": {"c": null, "d": 1}}') == {"b": {"d": 1}}


@pytest.mark.parametrize("digits", [21, 5000])
def test_an_integer_beyond_64_bits_is_no_integer_any_more(digits):
    assert isinstance(parse_object(b'{"a": ' + b"9" * digits + b"}")["a"], float)


def test_nesting_is_allowed_to_the_limit_and_not_beyond():
    def nested(depth):
        return b'{"a":' * (depth - 1) + b"{}" + b"}" * (depth - 1)

    assert parse_object(nested(DEPTH_MAX))
    with pytest.raises(MalformedBodyError):
        parse_object(nested(DEPTH_MAX + 1))


def test_brackets_inside_text_do_not_count_as_nesting():
    text = r"[{\"" * 100

    assert parse_object(b'{"a": "' + text.encode() + b'"}')["a"] == text.replace("\\", "")


@pytest.mark.parametrize("unit", [b"[", b'{"a":', b"[],", b'"', b"9", b'"\\"'])
def test_a_megabyte_of_anything_is_judged_quickly(unit):
    raw = b'{"a":' + unit * ((1 << 20) // len(unit))
    began = time.process_time()

    with pytest.raises(MalformedBodyError):
        parse_object(raw)

    assert time.process_time() - began < 2
