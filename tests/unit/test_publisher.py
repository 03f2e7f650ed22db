"""What `soloist publish` makes of a file, and what it tells a person when it cannot."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from soloist.model.errors import InvalidValueError
from soloist.model.media import Kind
from soloist.publisher.clip import NS, Clip, ClipError, DuePacket, fitted_size
from soloist.publisher.command import endpoint_url, plain_lines
from soloist.publisher.inquiry import check_url
from soloist.publisher.pacing import PublishProgress
from soloist.publisher.sender import PublishRefusedError, ServerAwayError, explained


def make_clip(
    path: Path, *, video: str | None = "libx264", audio: str | None = "libopus", b_frames: int = 0, seconds: int = 1
) -> Path:
    with av.open(str(path), "w") as container:
        picture = sound = None
        if video:
            picture = container.add_stream(video, rate=10)
            picture.width, picture.height, picture.pix_fmt = 64, 48, "yuv420p"
            if video == "libx264":
                picture.options = {"preset": "ultrafast", "bf": str(b_frames), "g": "10"}
        if audio:
            sound = container.add_stream(audio, rate=48_000, layout="stereo")
        for n in range(seconds * 10):
            if picture:
                frame = av.VideoFrame.from_ndarray(np.full((72, 64), n, np.uint8), "yuv420p")
                frame.pts = n
                frame.time_base = Fraction(1, 10)
                container.mux(picture.encode(frame))
            if sound:
                tone = av.AudioFrame.from_ndarray(np.zeros((1, 2 * 4800), np.int16), "s16", "stereo")
                tone.sample_rate, tone.pts, tone.time_base = 48_000, n * 4800, Fraction(1, 48_000)
                for piece in av.AudioResampler("fltp" if audio != "libopus" else "s16", "stereo").resample(tone):
                    container.mux(sound.encode(piece))
        for stream in (picture, sound):
            if stream:
                container.mux(stream.encode(None))
    return path


def due_packets(path: Path, *, loop: bool = False, count: int | None = None, start_ns: int = 0) -> list[DuePacket]:
    clip = Clip(path, start_ns=start_ns)
    sent = []
    with av.open("null", "w", format="null") as output:
        clip.add_streams(output)
        output.start_encoding()
        for due in clip.packets(loop=loop):
            sent.append(due)
            if len(sent) == count:
                break
    clip.close()
    return sent


def times(sent: list[DuePacket], kind: Kind) -> list[float]:
    return [due.due_ns / NS for due in sent if due.kind is kind]


def test_packets_are_due_in_order_of_time_across_both_tracks(tmp_path: Path) -> None:
    sent = due_packets(make_clip(tmp_path / "a.mkv"))

    assert [due.due_ns for due in sent] == sorted(due.due_ns for due in sent)
    assert {due.kind for due in sent} == set(Kind)


def test_h264_without_b_frames_passes_byte_for_byte(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", audio=None)
    with av.open(str(path)) as container:
        original = [bytes(packet) for packet in container.demux(video=0) if packet.size]

    sent = due_packets(path)

    assert [bytes(due.packet) for due in sent] == original


def test_h264_with_b_frames_is_encoded_anew_without_them(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mp4", audio=None, b_frames=2)
    clip = Clip(path)

    assert clip.is_transcoded
    sent = due_packets(path)
    assert len(sent) == 10
    assert all(due.packet.pts == due.packet.dts for due in sent)


def test_another_video_codec_becomes_h264_with_a_keyframe_each_second(tmp_path: Path) -> None:
    sent = due_packets(make_clip(tmp_path / "a.webm", video="libvpx", audio=None, seconds=3))

    assert [n for n, due in enumerate(sent) if due.packet.is_keyframe] == [0, 10, 20]


def test_sound_of_any_kind_becomes_20_ms_packets_of_opus(tmp_path: Path) -> None:
    sent = due_packets(make_clip(tmp_path / "a.mp4", video=None, audio="aac"))

    gaps = np.diff(times(sent, Kind.AUDIO))
    assert len(sent) >= 48
    assert np.allclose(gaps, 0.02, atol=1e-6)


def test_stereo_opus_at_48_khz_is_not_encoded_anew(tmp_path: Path) -> None:
    assert not Clip(make_clip(tmp_path / "a.mkv")).is_transcoded


def test_a_file_with_one_track_only_is_published_as_it_is(tmp_path: Path) -> None:
    assert Clip(make_clip(tmp_path / "a.mkv", audio=None)).kinds == (Kind.VIDEO,)
    assert Clip(make_clip(tmp_path / "b.ogg", video=None)).kinds == (Kind.AUDIO,)


@pytest.mark.parametrize(("name", "video", "audio"), [("a.mkv", "libx264", "libopus"), ("a.mp4", "mpeg4", "aac")])
def test_looping_goes_on_in_time_without_a_hole_or_a_step_back(
    tmp_path: Path, name: str, video: str, audio: str
) -> None:
    sent = due_packets(make_clip(tmp_path / name, video=video, audio=audio), loop=True, count=250)

    for kind, step in ((Kind.VIDEO, 0.1), (Kind.AUDIO, 0.02)):
        gaps = np.diff(times(sent, kind))
        assert gaps.min() > 0
        assert gaps.max() < step * 2.5


def test_publishing_can_go_on_from_the_middle_of_the_file(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "a.mkv", seconds=3)

    whole, rest = due_packets(path), due_packets(path, start_ns=2 * NS)

    assert 10 <= len(times(rest, Kind.VIDEO)) < len(times(whole, Kind.VIDEO))
    assert min(due.due_ns for due in rest) < NS // 10


def test_pictures_are_fitted_within_720_lines_of_even_size() -> None:
    assert [fitted_size(*size) for size in ((3840, 2160), (1280, 720), (641, 359), (1080, 1920))] == [
        (1280, 720),
        (1280, 720),
        (640, 358),
        (404, 720),
    ]


@pytest.mark.parametrize("content", [None, b"", b"this is not media"])
def test_a_file_that_is_no_media_is_named_in_the_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "x.mp4"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ClipError, match=r"x\.mp4"):
        Clip(path)


@pytest.mark.parametrize(
    ("error", "kind", "remedy"),
    [
        (av.HTTPUnauthorizedError(1, "x", "y"), PublishRefusedError, "--token"),
        (av.HTTPForbiddenError(1, "x", "y"), PublishRefusedError, "another app, room or user"),
        (av.HTTPNotFoundError(1, "x", "y"), PublishRefusedError, "check the app"),
        (av.HTTPServerError(1, "x", "y"), ServerAwayError, "try again"),
        (av.HTTPOtherClientError(1, "x", "y"), PublishRefusedError, "refused the offer"),
        (ConnectionRefusedError(111, "Connection refused"), ServerAwayError, "is `soloist serve` running"),
        (av.ConnectionRefusedError(111, "x", "y"), ServerAwayError, "is `soloist serve` running"),
        (OSError(110, "timed out"), ServerAwayError, "timed out"),
    ],
)
def test_every_refusal_says_what_to_do(error: Exception, kind: type[Exception], remedy: str) -> None:
    said = explained(error, "http://h/whip/a/r/u")

    assert type(said) is kind
    assert remedy in str(said)
    assert "http://h/whip/a/r/u" in str(said)


def test_an_endpoint_is_made_of_ids_only() -> None:
    assert (
        endpoint_url("http://h:1/", app="demo", room="r", user="u", stream="screen")
        == "http://h:1/whip/demo/r/u?stream=screen"
    )
    with pytest.raises(InvalidValueError, match="room"):
        endpoint_url("http://h:1", app="demo", room="../x", user="u", stream="camera")


def test_what_the_server_said_follows_the_remedy() -> None:
    error = av.HTTPOtherClientError(1, "x", "y")

    assert str(explained(error, "http://h/w", "offer H264")).endswith("; the server says: offer H264")


@pytest.mark.parametrize("url", ["ftp://x/y", "http://", "rec.example/whip/a/r/u", "http://h:port/x"])
def test_a_url_that_is_no_endpoint_is_told_before_anything_is_tried(url: str) -> None:
    with pytest.raises(InvalidValueError, match="no WHIP endpoint"):
        check_url(url)


def test_a_stream_that_is_neither_camera_nor_screen_is_told_before_anything_is_tried() -> None:
    with pytest.raises(InvalidValueError, match="camera or screen, not foo"):
        endpoint_url("http://h:1", app="demo", room="r", user="u", stream="foo")


def test_progress_lines_come_every_five_seconds() -> None:
    lines: list[str] = []
    now = 0.0
    show = plain_lines(lines.append, lambda: now)

    for second in range(21):
        now = float(second)
        show(PublishProgress(media_ns=second * NS))

    assert [line.partition(" s,")[0] for line in lines] == ["5.0", "10.0", "15.0", "20.0"]
