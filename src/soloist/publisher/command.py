"""The command `soloist publish`: where to, with which token, and what the person sees meanwhile."""

import signal
from pathlib import Path
from types import FrameType
from typing import NoReturn

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from soloist.model.errors import SoloistError
from soloist.model.ids import parse_id
from soloist.publisher.clip import NS
from soloist.publisher.pacing import PublishProgress
from soloist.publisher.publishing import publish

DEFAULT_SERVER = "http://127.0.0.1:8080"
RETRY_FOR_S = 30.0


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
        console.print(f"Publishing [bold]{file}[/bold] to {target}. Ctrl-C ends it.", highlight=False)
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
        InvalidValueError: a name is not an id.
    """
    for name, value in (("app", app), ("room", room), ("user", user), ("stream", stream)):
        parse_id(value, name)
    return f"{server.rstrip('/')}/whip/{app}/{room}/{user}?stream={stream}"


def _publish_shown(
    file: Path, url: str, token: str | None, *, loop: bool, duration: float | None, console: Console
) -> None:
    columns = (SpinnerColumn(), TimeElapsedColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=console) as bar:
        task = bar.add_task("connecting", total=None)

        def show(progress: PublishProgress) -> None:
            bar.update(task, description=describe(progress))

        sent = publish(file, url, token, loop=loop, duration=duration, retry_for_s=RETRY_FOR_S, on_progress=show)
    console.print(f"Published {describe(sent)}.", highlight=False)


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
