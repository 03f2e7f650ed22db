"""`soloist publish FILE`: a file goes through a room into a recording, and the command ends well in every case."""

import json
import os
import re
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from http.client import HTTPConnection
from pathlib import Path

import av
import pytest
from support.bare_recorder import BareRecorder, Listener, bare_recorder
from support.media import opus_samples, video_samples
from support.probe import counters, decode_warnings, packet_times, payloads, sync
from support.recorded import wait_for_files
from support.sdk import Sdk
from support.server import Server, free_port

from soloist.model.ids import AppId, ParticipantId, RoomId
from soloist.model.media import Codec, Kind, Sample, TrackSource

FPS = 30
CLIP_S = 6


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of H.264 and stereo Opus, whose pictures carry their number and flash when the sound beeps."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write(path, video_samples(Codec.H264, CLIP_S, fps=FPS), opus_samples(CLIP_S, channels=2))
    return path


def write(path: Path, video: tuple[Sample, ...], audio: tuple[Sample, ...]) -> None:
    """Write samples to a file without coding them again."""
    with av.open(str(path), "w") as output:
        picture = output.add_stream("libx264", rate=FPS)
        picture.width, picture.height, picture.pix_fmt = 320, 180, "yuv420p"
        picture.options = {"profile": "baseline", "tune": "zerolatency"}
        sound = output.add_stream("libopus", rate=48_000, layout="stereo")
        output.start_encoding()
        tracks = ((picture, video), (sound, audio))
        for stream, sample in sorted(
            ((stream, sample) for stream, samples in tracks for sample in samples),
            key=lambda pair: Fraction(pair[1].pts_ticks, pair[1].rate_hz),
        ):
            packet = av.Packet(sample.data)
            packet.stream, packet.time_base = stream, Fraction(1, sample.rate_hz)
            packet.pts = packet.dts = sample.pts_ticks
            packet.duration, packet.is_keyframe = sample.duration_ticks, sample.is_keyframe
            output.mux(packet)


@contextmanager
def publishing(file: Path, url: str, *options: str) -> Iterator["subprocess.Popen[str]"]:
    """Run the command; end it as a person would if it still runs."""
    command = [sys.executable, "-m", "soloist", "publish", str(file), "--url", url, *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.communicate(timeout=15)


def ended(process: "subprocess.Popen[str]", within_s: float = 30) -> tuple[int, str]:
    """Return the status and what the person has read."""
    _, said = process.communicate(timeout=within_s)
    return process.returncode, " ".join(said.split())


def until(holds: object, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it never came true"
        time.sleep(0.02)


def listen(recorder: BareRecorder) -> Listener:
    listener = Listener()
    recorder.run(
        lambda: recorder.rooms.subscribe(
            AppId("demo"),
            RoomId("r"),
            ParticipantId("alice"),
            sources=frozenset({TrackSource.CAMERA}),
            subscriber=listener,
        )
    )
    return listener


def frames_of(listener: Listener, kind: Kind) -> list:
    return [frame for frame in listener.frames if (frame.codec == "opus") is (kind is Kind.AUDIO)]


@pytest.fixture
def recorder() -> Iterator[BareRecorder]:
    with bare_recorder() as running:
        yield running


def publishers_of(server: Server) -> int:
    """Ask the recorder itself, over its socket, how many publishers it has."""
    connection = HTTPConnection("recorder")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(server.sockets / "recorder-0.sock"))
    connection.request("GET", "/health")
    publishers: int = json.load(connection.getresponse())["publishers"]
    connection.close()
    return publishers


def test_a_published_file_is_recorded_picture_by_picture_and_in_sync(
    server: Server, sdk: Sdk, room: str, clip: Path
) -> None:
    job = sdk.create(room_id=room, user_id="alice").job_id
    with publishing(clip, server.whip_url(room, "alice"), "--token", "devtoken") as process:
        status, said = ended(process)
    until(lambda: publishers_of(server) == 0)
    time.sleep(0.5)
    sdk.stop(job)

    (path,) = wait_for_files(server.bucket, job, extension=".mp4")
    assert (status, f"{CLIP_S * FPS} frames" in said) == (0, True), said
    assert decode_warnings(path) == ""
    assert [number for _, number in counters(path)] == list(range(CLIP_S * FPS))
    assert payload_bytes(path) == payload_bytes(clip)
    assert sync(path).median_ms == pytest.approx(0, abs=20)
    assert sync(path).worst_ms == pytest.approx(0, abs=40)


def payload_bytes(path: Path) -> list[bytes]:
    """Return the coded slices of each picture, without the parameter sets, which a container may keep elsewhere."""
    return [b"".join(_slices(payload)) for payload in payloads(path, "video")]


def _slices(payload: bytes) -> Iterator[bytes]:
    position = 0
    while position < len(payload):
        length = int.from_bytes(payload[position : position + 4], "big")
        unit = payload[position + 4 : position + 4 + length]
        if unit[0] & 0x1F in (1, 5):
            yield unit
        position += 4 + length


@pytest.mark.parametrize("kind", list(Kind))
def test_a_file_with_one_track_is_published_without_the_other(
    recorder: BareRecorder, clip: Path, tmp_path: Path, kind: Kind
) -> None:
    path = tmp_path / f"{kind}.mp4"
    with av.open(str(clip)) as source, av.open(str(path), "w") as output:
        stream = source.streams.video[0] if kind is Kind.VIDEO else source.streams.audio[0]
        target = output.add_stream_from_template(stream, opaque=True)
        for packet in source.demux(stream):
            if packet.dts is not None:
                packet.stream = target
                output.mux(packet)
    listener = listen(recorder)

    with publishing(path, recorder.whip_url("r", "alice"), "--duration", "2") as process:
        assert ended(process)[0] == 0

    (_, publisher), *_ = listener.events
    assert [track.kind for track in publisher.tracks] == [kind]
    assert [sent for sent in Kind if frames_of(listener, sent)] == [kind]


def test_frames_leave_in_real_time_and_all_arrive(recorder: BareRecorder, clip: Path) -> None:
    listener = listen(recorder)

    with publishing(clip, recorder.whip_url("r", "alice")) as process:
        ended(process)
    until(lambda: listener.events[-1][0] == "detached")

    pictures = frames_of(listener, Kind.VIDEO)
    assert len(pictures) == CLIP_S * FPS
    assert len(frames_of(listener, Kind.AUDIO)) == len(packet_times(clip, "audio"))
    assert not any(frame.follows_gap for frame in listener.frames)
    # Of half a second at each end: a single one may be taken in late.
    behind_s = [frame.received_ns / 1e9 - number / FPS for number, frame in enumerate(pictures)]
    half = FPS // 2
    assert statistics.median(behind_s[-half:]) - statistics.median(behind_s[:half]) == pytest.approx(0, abs=0.2)


def test_ctrl_c_ends_a_looping_publisher_with_a_delete(recorder: BareRecorder, clip: Path) -> None:
    listener = listen(recorder)
    with publishing(clip, recorder.whip_url("r", "alice"), "--loop") as process:
        until(lambda: len(frames_of(listener, Kind.VIDEO)) > 30)

        process.send_signal(signal.SIGINT)
        status, said = ended(process, within_s=15)

    assert (status, "deleted" in said) == (0, True), said
    until(lambda: listener.events[-1][::2] == ("detached", "left"), within_s=10)


def test_a_killed_publisher_leaves_no_process_that_goes_on_publishing(recorder: BareRecorder, clip: Path) -> None:
    listener = listen(recorder)
    with publishing(clip, recorder.whip_url("r", "alice"), "--loop") as process:
        until(lambda: len(frames_of(listener, Kind.VIDEO)) > 10)
        process.kill()

        until(lambda: listener.events[-1][::2] == ("detached", "left"), within_s=10)


def test_a_recorder_that_comes_back_is_published_to_again(clip: Path) -> None:
    port = free_port()
    with ExitStack() as present:
        heard = listen(present.enter_context(bare_recorder(port)))
        with publishing(clip, f"http://127.0.0.1:{port}/whip/demo/r/alice", "--loop") as process:
            until(lambda: len(frames_of(heard, Kind.VIDEO)) > 30)
            present.close()
            time.sleep(3)

            heard = listen(present.enter_context(bare_recorder(port)))
            until(lambda: frames_of(heard, Kind.VIDEO), within_s=10)
            assert frames_of(heard, Kind.VIDEO)[0].is_keyframe
            assert process.poll() is None


def test_an_older_publisher_does_not_take_its_place_back_from_the_newer_one(recorder: BareRecorder, clip: Path) -> None:
    url = recorder.whip_url("r", "alice")
    with publishing(clip, url, "--loop") as older:
        until(lambda: recorder.rooms.publishers_count == 1)
        with publishing(clip, url, "--loop") as newer:
            status, said = ended(older, within_s=20)

            assert (status, "has taken the place" in said, "Traceback" in said) == (1, True, False), said
            time.sleep(2)
            assert newer.poll() is None
            assert recorder.rooms.publishers_count == 1


def test_a_publishing_process_that_is_killed_is_no_success(recorder: BareRecorder, clip: Path) -> None:
    listener = listen(recorder)
    with publishing(clip, recorder.whip_url("r", "alice"), "--loop") as process:
        until(lambda: len(frames_of(listener, Kind.VIDEO)) > 10)
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGKILL)

        status, said = ended(process, within_s=10)

    assert (status, "died before it was done" in said, "Published" in said) == (1, True, False), said


@pytest.mark.parametrize(
    ("options", "said_of_it"),
    [
        (("--server", "http://127.0.0.1:1"), "is `soloist serve` running?"),
        (("--url", "ftp://x/y"), "is no WHIP endpoint"),
        (("--stream", "foo"), "stream is camera or screen, not foo"),
    ],
)
def test_a_publish_that_fails_says_one_thing_and_shows_no_traceback(
    clip: Path, options: tuple[str, ...], said_of_it: str
) -> None:
    command = [sys.executable, "-m", "soloist", "publish", str(clip), *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    said = " ".join(done.stderr.split())
    assert (done.returncode, said.count("Not published"), said_of_it in said) == (1, 1, True), said
    assert "Traceback" not in said


def test_what_the_server_says_against_a_publisher_is_shown(recorder: BareRecorder, clip: Path) -> None:
    with publishing(clip, f"{recorder.whip_url('r', 'alice')}?stream=both") as process:
        status, said = ended(process)

    assert (status, "the server says: stream is camera or screen" in said) == (1, True), said


def test_progress_is_told_in_lines_where_nobody_watches_a_terminal(recorder: BareRecorder, clip: Path) -> None:
    with publishing(clip, recorder.whip_url("r", "alice"), "--loop", "--duration", "6") as process:
        _, said = process.communicate(timeout=30)

    _connecting, progress, published = said.splitlines()
    assert re.match(r"[0-5]\.\d s, \d+ frames, \d+ audio packets, \d+ kbps", progress), said
    assert published.startswith("Published 6.0 s"), said


@pytest.mark.parametrize(
    ("path", "remedy"),
    [("/whip/demo/r/alice", "valid token (401)"), ("/whip/noapp/r/alice", "check the app"), ("/no", "check the app")],
)
def test_a_refusal_is_told_with_its_remedy(server: Server, clip: Path, path: str, remedy: str) -> None:
    token = "wrong" if "demo" in path else "devtoken"
    with publishing(clip, f"{server.url}{path}", "--token", token) as process:
        status, said = ended(process)

    assert (status, remedy in said) == (1, True), said


def test_where_nobody_listens_one_is_asked_whether_the_server_runs(clip: Path) -> None:
    with publishing(clip, f"http://127.0.0.1:{free_port()}/whip/demo/r/alice") as process:
        status, said = ended(process)

    assert (status, "is `soloist serve` running?" in said) == (1, True), said


def test_a_file_that_is_no_media_is_named(recorder: BareRecorder, tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not media")
    with publishing(path, recorder.whip_url("r", "alice")) as process:
        status, said = ended(process)

    assert (status, "notes.txt" in said) == (1, True), said
