"""Commands survive the way to a server and back; what is no command is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloist.wire.amf0 import DEPTH_MAX, AmfError, encode_amf0, encode_ecma_array, parse_amf0

SIMPLE = st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=40)
VALUES = st.recursive(
    SIMPLE, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", min_size=1), inner), max_leaves=6
)


@given(st.lists(VALUES, max_size=4))
def test_what_is_encoded_is_read_again(values):
    assert parse_amf0(encode_amf0(*values)) == values


def test_an_ecma_array_reads_as_an_object_whatever_count_it_declares():
    encoded = bytearray(encode_ecma_array({"width": 1280, "height": 720}))
    encoded[1:5] = b"\xff\xff\xff\xff"

    assert parse_amf0(bytes(encoded)) == [{"width": 1280.0, "height": 720.0}]


def test_text_of_more_than_64_kib_is_long_text():
    assert parse_amf0(encode_amf0("a" * 70_000)) == ["a" * 70_000]


@pytest.mark.parametrize(
    "data",
    [b"\x00\x01", b"\x02\x00\x09abc", b"\x03\x00\x01a", b"\x07\x00\x00", b"\x0a\xff\xff\xff\xff\x05"],
    ids=["cut number", "cut text", "cut object", "reference", "array of four thousand millions"],
)
def test_what_is_no_command_is_refused(data):
    with pytest.raises(AmfError):
        parse_amf0(data)


def test_nesting_ends_somewhere():
    deep: list = []
    for _ in range(DEPTH_MAX):
        deep = [deep]

    with pytest.raises(AmfError, match="deeply"):
        parse_amf0(encode_amf0(deep))
