"""`make demo`: the main job once, by its real parts, and a table of what came out of it.

Starts a private instance on free ports, publishes a generated clip over WHIP, records ten seconds of it by a job the
official Python SDK creates and stops, waits for the file, measures it, and stops everything. Every value in the table
is read back from the file; the exit status says whether they are right.
"""

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from clip import write_clip
from huaweicloudsdkcloudrtc.v2 import (
    CloudRTCClient,
    CreateIndividualStreamJobRequest,
    IndividualStreamJobReq,
    RecordParam,
    ShowIndividualStreamJobRequest,
    StopIndividualStreamJobRequest,
)
from huaweicloudsdkcore.auth.credentials import BasicCredentials
from inspect_file import FileReport, inspect_file
from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

ROOM, USER, APP, RULE = "demo-room", "alice", "demo", "demo"
RECORD_S = 10
CLIP_S = 15
DURATION_TOLERANCE_S = 0.5
OFFSET_MS_MAX = 20
OFFSET_WORST_MS_MAX = 40
FPS = 30
FRAMES_TOLERANCE = 3

console = Console()
soloist = [sys.executable, "-m", "soloist"]


class DemoError(Exception):
    """Something of the demo did not happen as it should."""


def main() -> None:
    """Run the demo; exit 1 with the reason if anything is off."""
    data = Path(tempfile.mkdtemp(prefix="demo-", dir=build_folder()))
    try:
        with progress() as say:
            report = record(data, say)
        print_table(report)
        judge(report)
        # The recording stays; the private instance's database would only fill the disk, run after run.
        shutil.rmtree(data / "postgres")
    except Exception as error:  # noqa: BLE001 - the last stop: whatever it was is told, with where to look
        # Whatever it was, the SDK's own errors included: a person wants the reason and where to look.
        reason = str(error) if isinstance(error, DemoError) else f"{type(error).__name__}: {error}"
        console.print("[bold red]The demo failed:[/]", escape(reason))
        console.print(f"The logs are in {data}", soft_wrap=True)
        sys.exit(1)


def build_folder() -> Path:
    """Return the folder for what the demo leaves behind: git ignores it."""
    folder = Path(__file__).resolve().parent.parent / "build" / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show what is going on and for how long; one line a step where nobody watches a terminal."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=False) as bars:
        current = bars.add_task("starting", total=None)

        def say(text: str) -> None:
            if console.is_terminal:
                bars.update(current, description=text)
            else:
                console.print(f"demo: {text}")

        yield say


def record(data: Path, say: Callable[[str], None]) -> FileReport:
    """Do the whole job and return what is in the file."""
    port = free_port()
    say(f"starting a private instance on 127.0.0.1:{port}")
    serve = ["serve", "--dev", "--port", str(port), "--media-port", "0", "--data", str(data)]
    with child(serve, data / "serve.log") as service:
        say("meanwhile, drawing a test clip: moving picture, tone, a flash and a beep each second")
        write_clip(data / "clip.mkv", CLIP_S)
        await_ready(port, service)
        say("publishing the clip as alice in demo-room over WHIP")
        whip = f"http://127.0.0.1:{port}/whip/{APP}/{ROOM}/{USER}"
        with child(["publish", str(data / "clip.mkv"), "--loop", "--url", whip], data / "publish.log") as publisher:
            job_id = start_job(client(port), say)
            await_true(lambda: is_recording(data / "spool"), 10, "no media reached the recorder")
            for second in range(RECORD_S):
                say(f"recording as job {job_id}: {second} of {RECORD_S} s")
                time.sleep(1)
                check_alive(service, publisher)
            say("stopping the job")
            stop_job(client(port), job_id)
        say("waiting for the file in the bucket")
        path = await_file(data / "storage" / "recordings")
    say("measuring the file")
    return inspect_file(path)


def client(port: int) -> CloudRTCClient:
    """Return the official SDK's client, pointed at the private instance."""
    credentials = BasicCredentials("devkey", "devsecret", "dev")
    endpoint = [f"http://127.0.0.1:{port}"]
    return CloudRTCClient.new_builder().with_credentials(credentials).with_endpoints(endpoint).build()


def start_job(sdk: CloudRTCClient, say: Callable[[str], None]) -> str:
    """Create the job with the official SDK and wait until it runs."""
    say("creating a recording job with the official SDK")
    body = IndividualStreamJobReq(
        room_id=ROOM, user_id=USER, max_idle_time=30, record_param=RecordParam(record_rule_id=RULE)
    )
    request = CreateIndividualStreamJobRequest(app_id=APP, body=body)
    job_id = str(sdk.create_individual_stream_job(request).job_id)
    wanted = ShowIndividualStreamJobRequest(app_id=APP, job_id=job_id)
    await_true(lambda: sdk.show_individual_stream_job(wanted).state == "RUNNING", 10, "the job did not start to run")
    return job_id


def is_recording(spool: Path) -> bool:
    """Return whether the recorder has a file open."""
    return any(spool.rglob("*.mp4"))


def stop_job(sdk: CloudRTCClient, job_id: str) -> None:
    """Stop the job with the official SDK."""
    sdk.stop_individual_stream_job(StopIndividualStreamJobRequest(app_id=APP, job_id=job_id))


def await_ready(port: int, service: "subprocess.Popen[bytes]") -> None:
    """Return when the instance answers."""

    def answers() -> bool:
        check_alive(service)
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    await_true(answers, 30, "the instance did not come up")


def await_file(bucket: Path) -> Path:
    """Return the recording once its manifest, which is written last, stands beside it."""

    def files() -> list[Path]:
        return [path for path in bucket.rglob("*.mp4") if path.with_suffix(".json").exists()]

    await_true(lambda: bool(files()), 15, f"no recording appeared under {bucket}")
    return files()[0]


def await_true(is_done: Callable[[], bool], timeout_s: float, complaint: str) -> None:
    """Wait for something, looking twenty times a second."""
    deadline = time.monotonic() + timeout_s
    while not is_done():
        if time.monotonic() > deadline:
            raise DemoError(complaint)
        time.sleep(0.05)


def check_alive(*children: "subprocess.Popen[bytes]") -> None:
    """Complain if a child has ended."""
    for process in children:
        if process.poll() is not None:
            raise DemoError(f"'{' '.join(map(str, process.args[2:4]))}' ended early")  # type: ignore[index]


@contextmanager
def child(arguments: list[str], log: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run `soloist` with `arguments` and its output in `log`; end it as Ctrl-C would."""
    with log.open("wb") as output:
        process = subprocess.Popen([*soloist, *arguments], stdout=output, stderr=output, stdin=subprocess.DEVNULL)
        try:
            yield process
        finally:
            end(process)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Ask a child to end, and insist after a while."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired as error:
        process.kill()
        raise DemoError(f"'{process.args}' did not end within 20 s") from error  # type: ignore[str-bytes-safe]


def free_port() -> int:
    """Return a TCP port nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def print_table(report: FileReport) -> None:
    """Print where the file is and what is in it."""
    table = Table(title="What is in the file", show_header=False)
    for name, value in report.rows():
        table.add_row(name, value)
    console.print(f"\n[bold]{report.path.resolve()}[/]", soft_wrap=True)
    console.print(table)


def judge(report: FileReport) -> None:
    """Complain if the file is not what ten seconds of the clip must give."""
    if (report.video_codec, report.audio_codec) != ("h264", "aac"):
        raise DemoError(f"expected h264 and aac, found {report.video_codec} and {report.audio_codec}")
    if abs(report.duration_s - RECORD_S) > DURATION_TOLERANCE_S:
        raise DemoError(f"expected {RECORD_S} s, found {report.duration_s:.2f} s")
    if report.offset_ms is None or abs(report.offset_ms) > OFFSET_MS_MAX:
        raise DemoError(f"flash and beep are {report.offset_ms} ms apart, more than {OFFSET_MS_MAX} ms")
    if report.offset_worst_ms is None or abs(report.offset_worst_ms) > OFFSET_WORST_MS_MAX:
        raise DemoError(f"at worst they are {report.offset_worst_ms} ms apart, more than {OFFSET_WORST_MS_MAX} ms")
    if abs(report.video_frames - report.duration_s * FPS) > FRAMES_TOLERANCE:
        raise DemoError(f"expected {report.duration_s * FPS:.0f} frames at {FPS} a second, found {report.video_frames}")
    if report.warnings:
        raise DemoError(f"the decoder complained: {report.warnings[0]}")


if __name__ == "__main__":
    main()
