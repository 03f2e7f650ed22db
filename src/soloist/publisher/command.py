"""The command `soloist publish`: where to, with which token, and what the person sees meanwhile."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from soloist.model.errors import InvalidValueError, SoloistError
from soloist.model.ids import parse_id
from soloist.model.media import TrackSource
from soloist.publisher.inquiry import check_url
from soloist.publisher.pacing import OnProgress, PublishProgress
from soloist.publisher.publishing import publish
from soloist.wire.clock import NS

DEFAULT_SERVER = "http://127.0.0.1:8080"
RETRY_FOR_S = 30.0
LINE_INTERVAL_S = 5.0
"""Where nobody watches a terminal, progress is one line this often."""


def publish_command(  # noqa: PLR0913 - the command's options
    file: Path,
    *,
    url: str | None = None,
    server: str = DEFAULT_SERVER,
    app: str = "demo",
    room: str = "demo",
    user: str = "demo",
    stream: str = "camera",
    token: str | None = None,
    loop: bool = False,
    duration: float | None = None,
) -> int:
    """Publish a file and show how it goes; return the exit status: 0 done or stopped by Ctrl-C, 1 not.

    `url` is a whole WHIP endpoint; without it one is made of `server`, `app`, `room`, `user` and `stream`.
    """
    console = Console(stderr=True)
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        target = url or endpoint_url(server, app=app, room=room, user=user, stream=stream)
        check_url(target)
        console.print(f"Publishing [bold]{file}[/bold] to {target}. Ctrl-C ends it.", highlight=False, soft_wrap=True)
        _publish_shown(file, target, token, loop=loop, duration=duration, console=console)
    except KeyboardInterrupt:
        console.print("Stopped; the session has been deleted.")
    except SoloistError as error:
        console.print(f"[red]Not published:[/red] {error}", highlight=False)
        return 1
    return 0


def endpoint_url(server: str, *, app: str, room: str, user: str, stream: str) -> str:
    """Return the WHIP endpoint of a participant's stream on a Soloist server.

    Raises:
        InvalidValueError: a name is not an id, or the stream is neither camera nor screen.
    """
    for name, value in (("app", app), ("room", room), ("user", user)):
        parse_id(value, name)
    if stream not in list(TrackSource):
        raise InvalidValueError(f"stream is {' or '.join(TrackSource)}, not {stream}")
    return f"{server.rstrip('/')}/whip/{app}/{room}/{user}?stream={stream}"


def _publish_shown(
    file: Path, url: str, token: str | None, *, loop: bool, duration: float | None, console: Console
) -> None:
    with _shown(console) as show:
        sent = publish(file, url, token, loop=loop, duration=duration, retry_for_s=RETRY_FOR_S, on_progress=show)
    console.print(f"Published {describe(sent)}.", highlight=False, soft_wrap=True)


@contextmanager
def _shown(console: Console) -> Iterator[OnProgress]:
    """Yield what shows progress: a living line on a terminal, else a plain one every five seconds."""
    if not console.is_terminal:
        yield plain_lines(lambda line: console.print(line, highlight=False, soft_wrap=True), time.monotonic)
        return
    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("connecting", total=None)
        yield lambda progress: bar.update(task, description=describe(progress))


def plain_lines(write: Callable[[str], None], now: Callable[[], float]) -> OnProgress:
    """Return what writes progress as a line, at most every five seconds by the clock `now`, in seconds."""
    told_at = now()

    def show(progress: PublishProgress) -> None:
        nonlocal told_at
        if now() - told_at >= LINE_INTERVAL_S:
            told_at = now()
            write(describe(progress))

    return show


def describe(progress: PublishProgress) -> str:
    """Return one line: media time, pictures, packets, bit rate, and what is wrong if anything is."""
    line = (
        f"{progress.media_ns / NS:.1f} s, {progress.frames_count} frames, "
        f"{progress.audio_packets_count} audio packets, {progress.kbps:.0f} kbps"
    )
    if progress.behind_ns > NS:
        line += f", {progress.behind_ns / NS:.1f} s behind: this machine cannot encode the file in real time"
    if progress.reconnects_count:
        line += f", {progress.reconnects_count} reconnections"
    return line


def _interrupt(_signal: int, _frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt
