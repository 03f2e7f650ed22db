"""Messages cut into chunks come together again, however the bytes arrive."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloist.wire.rtmp_chunks import (
    CHUNK_STREAMS_MAX,
    MESSAGE_BYTES_MAX,
    ChunkReader,
    Message,
    RtmpError,
    encode_message,
)

MESSAGES = st.tuples(
    st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=700), st.integers(0, 2**33), st.integers(2, 63)
)


@given(st.lists(MESSAGES, max_size=6), st.integers(1, 300), st.integers(1, 400))
def test_messages_come_out_as_they_went_in(made, chunk_bytes, step):
    reader = ChunkReader()
    reader.set_chunk_size(chunk_bytes)
    sent = [Message(type_id, stream_id, payload) for type_id, stream_id, payload, _, _ in made]
    data = b"".join(
        encode_message(message, at_ms, stream, chunk_bytes)
        for message, (_, _, _, at_ms, stream) in zip(sent, made, strict=True)
    )

    got = [message for at in range(0, len(data), step) for message in reader.feed(data[at : at + step])]

    assert got == sent


def test_chunks_of_two_streams_may_alternate():
    reader = ChunkReader()
    first, second = b"a" * 200, b"b" * 200
    one = encode_message(Message(20, 0, first), 0, 3, 128)
    other = encode_message(Message(4, 0, second), 0, 2, 128)
    cut = 12 + 128

    got = list(reader.feed(one[:cut] + other[:cut] + one[cut:] + other[cut:]))

    assert [message.payload for message in got] == [first, second]


def test_a_header_that_repeats_the_one_before_is_understood():
    reader = ChunkReader()
    whole = encode_message(Message(20, 1, b"abc"), 0, 3, 128)
    same = b"\xc3" + b"def"
    only_time = b"\x83" + b"\0\0\5" + b"ghi"
    without_stream = b"\x43" + b"\0\0\5" + b"\0\0\2" + b"\x12" + b"jk"

    got = list(reader.feed(whole + same + only_time + without_stream))

    assert got == [Message(20, 1, b"abc"), Message(20, 1, b"def"), Message(20, 1, b"ghi"), Message(18, 1, b"jk")]


def test_chunk_stream_numbers_of_two_and_three_bytes_are_understood():
    reader = ChunkReader()
    header = bytes(3) + b"\0\0\1" + b"\x14" + bytes(4)

    got = list(reader.feed(b"\x00\x05" + header + b"x" + b"\x01\x05\x01" + header + b"y"))

    assert [message.payload for message in got] == [b"x", b"y"]


def test_a_message_too_long_for_an_answer_is_refused_by_its_header_alone():
    reader = ChunkReader()
    header = b"\x03" + bytes(3) + (MESSAGE_BYTES_MAX + 1).to_bytes(3, "big") + b"\x14" + bytes(4)

    with pytest.raises(RtmpError, match="bytes"):
        list(reader.feed(header))


def test_more_chunk_streams_than_any_server_uses_are_refused():
    reader = ChunkReader()
    many = b"".join(encode_message(Message(20, 0, b"x"), 0, 2 + n % 61, 128) for n in range(61))
    more = b"".join(b"\x00" + bytes((n,)) + bytes(3) + b"\0\0\1\x14" + bytes(4) + b"x" for n in range(10))

    with pytest.raises(RtmpError, match=str(CHUNK_STREAMS_MAX)):
        list(reader.feed(many + more))


def test_a_message_that_begins_before_the_one_before_is_whole_is_refused():
    reader = ChunkReader()
    cut = encode_message(Message(20, 0, b"a" * 200), 0, 3, 128)[:140]

    with pytest.raises(RtmpError, match="before"):
        list(reader.feed(cut + encode_message(Message(20, 0, b"b"), 0, 3, 128)))
