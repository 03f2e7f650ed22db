"""Publishing by the bytes real servers answered with (vectors/rtmp_*.bin), and by what a server may say besides."""

from pathlib import Path

import pytest

from soloist.wire.amf0 import encode_amf0, parse_amf0
from soloist.wire.rtmp import (
    CHUNK_BYTES,
    HANDSHAKE_BYTES,
    RANDOM_BYTES,
    TEXT_LENGTH_MAX,
    RefusedError,
    RtmpPublisher,
    RtmpState,
    RtmpUrl,
    masked,
)
from soloist.wire.rtmp_chunks import ChunkReader, Message, RtmpError, encode_message

VECTORS = Path(__file__).parent / "vectors"
URL = RtmpUrl.parse("rtmp://media.example.com/live/key?token=1")
S0_S1_S2 = b"\3" + bytes(2 * HANDSHAKE_BYTES)


def a_publisher(url=URL):
    return RtmpPublisher(url, bytes(RANDOM_BYTES))


def hear(publisher, data, step):
    """Let a publisher hear what a server said, in pieces, and do its part."""
    for at in range(0, len(data), step):
        publisher.receive(data[at : at + step])
        if publisher.state is RtmpState.CONNECTED:
            publisher.publish()


def sent_by(publisher, *, after_handshake=True):
    """Return the messages a publisher has to send."""
    data = publisher.take()
    if after_handshake:
        data = data[1 + 2 * HANDSHAKE_BYTES :]
    reader = ChunkReader()
    got = []
    for message in reader.feed(data):
        if message.type_id == 1:
            reader.set_chunk_size(int.from_bytes(message.payload, "big"))
        got.append(message)
    return got


def said(name, transaction, *values, stream=3):
    return encode_message(Message(20, 0, encode_amf0(name, transaction, *values)), 0, stream, 128)


def connected(*, info=None, properties=None):
    """Return a publisher whose `connect` was answered."""
    publisher = a_publisher()
    publisher.receive(
        S0_S1_S2 + said("_result", 1, properties or {}, info or {"code": "NetConnection.Connect.Success"})
    )
    return publisher


def ready():
    """Return a publisher that may send, with nothing left to be sent."""
    publisher = connected()
    publisher.publish()
    publisher.receive(said("_result", 4, None, 7))
    publisher.receive(said("onStatus", 0, None, {"level": "status", "code": "NetStream.Publish.Start"}))
    publisher.take()
    return publisher


@pytest.mark.parametrize("server", ["nginx_1.22", "ffmpeg_5.1"])
@pytest.mark.parametrize("step", [1, 7])
def test_a_real_server_takes_the_stream_however_its_bytes_arrive(server, step):
    data, publisher = (VECTORS / f"rtmp_{server}_accepts.bin").read_bytes(), a_publisher()
    hear(publisher, data, step)

    assert publisher.state is RtmpState.READY
    assert publisher.announced == frozenset()


def test_a_real_server_that_refuses_the_key_is_told_in_its_words():
    publisher = a_publisher()
    data = (VECTORS / "rtmp_nginx_1.22_refuses.bin").read_bytes()

    with pytest.raises(RefusedError, match=r"NetStream\.Publish\.BadName"):
        hear(publisher, data, 100)


def test_connect_names_the_application_and_never_the_key():
    publisher = a_publisher()
    publisher.receive(S0_S1_S2)

    chunk_size, connect = sent_by(publisher)

    assert int.from_bytes(chunk_size.payload, "big") == CHUNK_BYTES
    name, transaction, properties = parse_amf0(connect.payload)
    assert (name, transaction) == ("connect", 1)
    assert properties["app"] == "live"
    assert properties["tcUrl"] == "rtmp://media.example.com/live"
    assert b"key" not in connect.payload


def test_publish_names_the_key_on_the_stream_the_server_made():
    publisher = connected()
    publisher.take()
    publisher.publish()
    publisher.receive(said("_result", 4, None, 7))
    reader = ChunkReader()
    reader.set_chunk_size(CHUNK_BYTES)

    commands = [(message.stream_id, parse_amf0(message.payload)) for message in reader.feed(publisher.take())]

    assert [values[0] for _, values in commands] == ["releaseStream", "FCPublish", "createStream", "publish"]
    assert commands[-1] == (7, ["publish", 5.0, None, "key?token=1", "live"])


def test_the_server_s_s1_is_echoed_before_its_s2_is_there():
    publisher = a_publisher()
    publisher.take()

    publisher.receive(b"\3" + bytes(range(256)) * 6)

    assert publisher.take() == bytes(range(256)) * 6


def test_who_speaks_something_else_is_no_rtmp_server():
    with pytest.raises(RtmpError, match="no RTMP server"):
        a_publisher().receive(b"HTTP/1.1 400 Bad Request\r\n")


def test_a_refused_connect_says_why():
    publisher = a_publisher()
    publisher.receive(S0_S1_S2)

    with pytest.raises(RefusedError, match=r"Connect\.Rejected nobody here"):
        publisher.receive(
            said("_error", 1, None, {"code": "NetConnection.Connect.Rejected", "description": "nobody here"})
        )


@pytest.mark.parametrize("name", ["code", "description"])
@pytest.mark.parametrize(
    "words",
    [
        "Stream K3y%2Fa is already publishing",
        "Stream K3y/a is already publishing",
        "K3y%2Fa?sign=s1%26g&user=me: bad sign=s1%26g&user=me",
        "K3y/a?sign=s1&g&user=me",
        "the signature s1%26g is none, nor is s1&g",
        "K3\ny/a",
        "x" * (TEXT_LENGTH_MAX - 3) + "K3y/a",
    ],
)
def test_the_stream_key_is_cut_out_of_a_server_s_words(name, words):
    publisher = a_publisher(RtmpUrl.parse("rtmp://h/live/K3y%2Fa?sign=s1%26g&user=me"))
    publisher.receive(S0_S1_S2)

    with pytest.raises(RefusedError, match=r"\*") as caught:
        publisher.receive(said("_error", 1, None, {name: words}))

    assert not [part for part in ("K3y", "s1%26g", "s1&g") if part in str(caught.value)]


def test_a_server_that_does_not_know_the_customary_commands_is_none_the_worse():
    publisher = connected()
    publisher.publish()

    publisher.receive(said("_error", 2, None, {"code": "NetConnection.Call.Failed"}))

    assert publisher.state is RtmpState.CREATING


@pytest.mark.parametrize("place", ["info", "properties"])
def test_codings_beyond_the_classic_ones_are_known_from_the_answer_to_connect(place):
    publisher = connected(**{place: {"fourCcList": ["vp09"], "videoFourCcInfoMap": {"av01": 1, "hvc1": 2}}})

    assert publisher.announced == {"vp09", "av01"}


def test_a_ping_is_answered_with_its_own_time():
    publisher = ready()
    publisher.receive(encode_message(Message(4, 0, b"\0\6" + b"abcd"), 0, 2, 128))

    (answer,) = sent_by(publisher, after_handshake=False)

    assert (answer.type_id, answer.payload) == (4, b"\0\7abcd")


def test_what_arrived_is_acknowledged_as_often_as_the_server_asked():
    publisher = ready()
    publisher.receive(encode_message(Message(5, 0, (1000).to_bytes(4, "big")), 0, 2, 128))
    publisher.take()
    publisher.receive(encode_message(Message(4, 0, bytes(1100)), 0, 2, 128))

    (answer,) = sent_by(publisher, after_handshake=False)

    assert answer.type_id == 3
    assert int.from_bytes(answer.payload, "big") > 4000


def test_a_stream_that_the_server_ends_is_over():
    with pytest.raises(RefusedError, match="ended"):
        ready().receive(said("onStatus", 0, None, {"level": "status", "code": "NetStream.Unpublish.Success"}))


def test_media_goes_out_on_the_published_stream_with_its_time():
    publisher = ready()
    publisher.send_video(b"v" * 100, 0x01FFFFFF)
    data = publisher.take()

    assert data[1:4] == b"\xff\xff\xff"
    assert data[12:16] == (0x01FFFFFF).to_bytes(4, "big")
    reader = ChunkReader()
    reader.set_chunk_size(CHUNK_BYTES)
    assert list(reader.feed(data)) == [Message(9, 7, b"v" * 100)]


def test_the_end_is_said_in_order_and_only_if_something_began():
    publisher, unready = ready(), connected()
    unready.take()

    publisher.end()
    unready.end()

    assert [parse_amf0(message.payload)[0] for message in sent_by(publisher, after_handshake=False)] == [
        "FCUnpublish",
        "deleteStream",
    ]
    assert unready.take() == b""


@pytest.mark.parametrize(
    ("url", "app", "key", "port"),
    [
        ("rtmp://h/live/a", "live", "a", 1935),
        ("rtmps://h/live2/a-b-c", "live2", "a-b-c", 443),
        ("rtmp://h:19350/app/instance/name?k=v/w", "app/instance", "name?k=v/w", 19350),
        ("rtmp://" + "a" * 63 + ".example./live/q-q", "live", "q-q", 1935),
        ("rtmp://[2001:db8::1]:1936/x/y", "x", "y", 1936),
    ],
)
def test_an_address_is_taken_apart_at_its_last_slash(url, app, key, port):
    parts = RtmpUrl.parse(url)

    assert (parts.app, parts.key, parts.port) == (app, key, port)
    assert masked(url) == f"{parts.tc_url}/***"
    assert key not in masked(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://h/live/a",
        "rtmp:///live/a",
        "rtmp://h",
        "rtmp://h/live",
        "rtmp://h/live/",
        "rtmp://h:0/live/a",
        "rtmp://h:99999/live/a",
        "rtmp://user:password@h/live/a",
        "rtmp://h/live/a b",
        "rtmp://h/live/ä",
        "rtmp://[::1/live/a",
        "rtmp://a..b/live/a",
        "rtmp://.a/live/a",
        "rtmp://" + "a" * 64 + ".b/live/a",
        "rtmp://" + ".".join(["a" * 60] * 5) + "/live/a",
        "rtmp://h/live/a#b",
        "rtmp://h/live/a?b=c#",
    ],
)
def test_what_is_no_such_address_is_refused_without_being_quoted(url):
    with pytest.raises(ValueError, match="must") as caught:
        RtmpUrl.parse(url)

    assert url not in str(caught.value)
    assert masked(url) == "rtmp://***"
