"""`make bench`: what a recorded stream costs, beside the peers, and whether every frame is in its file.

For each number of streams and each side: start it, let that many independent publishers join, measure user and system
time of all its processes while everybody sends, and afterwards count the frames in the files. Exit status 1: a frame
is missing from one of Soloist's files, or it takes more CPU than the pion receiver at 10 or 50 streams.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from kept import NOTHING, Kept
from media import audio_clip, video_clip
from rich.console import Console
from rich.table import Table
from sides import Peer, Running, Side, SideError, Soloist
from usage import Usage, usage_of

from soloist.model.rule import AudioMode

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "bench"
COUNTS, FAR_COUNTS, AIORTC_COUNT_MAX = (1, 10, 50), (100, 150, 200), 10
JUDGED_COUNTS = (10, 50)
SPREAD_S, WARM_S, TAIL_S = 2.0, 2.0, 1.0
"""Publishers begin evenly over the first; nothing is measured until the second has passed, nor in the third."""
PION, COPY = "pion receiver", "soloist copy"
LATE_MS_MAX = 100.0
"""A sender further behind its own clock had no CPU to send with: what was measured then is not the receiver."""

console = Console(width=None if sys.stdout.isatty() else 150)


@dataclass(frozen=True)
class Row:
    """One side with one number of streams."""

    side: str
    streams: int
    cpu_ms: float
    """User and system time of all its processes, milliseconds per second of media and stream."""
    rss_mb: float
    pss_mb: float
    video_sent: int
    video_kept: int
    audio_sent: int
    audio_kept: int
    short_streams: int
    """Streams whose files hold fewer frames than were sent."""
    nacked: int
    """Packets asked for again."""
    late_ms: float
    """The most the sender was behind its own clock."""
    threads_ms: dict[str, float]
    """Where the CPU went, by process and thread, in the same unit."""


def main() -> None:
    """Measure, print, write the JSON, and judge."""
    options = parse_options()
    programs = build_programs()
    sides = chosen_sides(options, programs)
    rows: list[Row] = []
    faults: list[str] = []
    began = time.monotonic()
    for count in options.streams or (FAR_COUNTS if options.far else COUNTS[: 2 if options.quick else None]):
        for side in sides:
            if side.name == "aiortc" and count > AIORTC_COUNT_MAX:
                continue
            try:
                row = measure(side, count, programs["load"], options)
            except Exception as error:  # noqa: BLE001 - the other figures stand by themselves, and the run fails
                faults.append(f"{side.name}, {count} streams: {error}")
                say(faults[-1])
                continue
            rows.append(row)
            tell(row, time.monotonic() - began)
    print_table(rows)
    write_json(rows, options)
    faults += faults_of(rows)
    for fault in faults:
        console.print(f"[bold red]bench:[/] {fault}")
    sys.exit(1 if faults else 0)


def parse_options() -> argparse.Namespace:
    """Return what the caller asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1 and 10 streams, copy and pion only: about a minute")
    parser.add_argument("--far", action="store_true", help="100, 150 and 200 streams, copy and pion only")
    parser.add_argument("--streams", type=int, nargs="+", help="these numbers of streams instead")
    parser.add_argument("--sides", nargs="+", help="these sides only, by the table's names")
    parser.add_argument("--window", type=float, default=15.0, help="seconds measured; default %(default)s")
    parser.add_argument("--spread", type=float, default=SPREAD_S, help="0 lets all keyframes fall together")
    parser.add_argument("--twcc", action="store_true", help="publishers ask for congestion feedback, as browsers do")
    parser.add_argument("--threads", action="store_true", help="say where the CPU went")
    parser.add_argument("--json", type=Path, default=BUILD / "bench.json", help="where the figures go")
    options = parser.parse_args()
    if options.quick:
        options.window = min(options.window, 8.0)
    return options


def chosen_sides(options: argparse.Namespace, programs: dict[str, str]) -> list[Side]:
    """Return who is compared."""
    copy, pion = Soloist(AudioMode.COPY, 1), Peer(PION, (programs["peer_pion"],), is_by_name=True)
    sound = [Soloist(AudioMode.COPY, 1, has_picture=False), Soloist(AudioMode.AAC, 1, has_picture=False)]
    everybody: list[Side] = [copy, Soloist(AudioMode.AAC, 1), Soloist(AudioMode.AAC, 2), *sound, pion]
    if options.sides is None and (options.quick or options.far):
        return [copy, pion]
    if options.sides is None or "aiortc" in options.sides:
        command = (aiortc_python(), str(ROOT / "benchmarks" / "peer_aiortc" / "main.py"))
        everybody.append(Peer("aiortc", command, is_by_name=False))
    chosen = [side for side in everybody if options.sides is None or side.name in options.sides]
    if not chosen:
        raise SystemExit(f"--sides: choose from {', '.join(side.name for side in everybody)}, aiortc")
    return chosen


def build_programs() -> dict[str, str]:
    """Build the sender and the pion receiver; return where they are."""
    programs = {}
    for name in ("load", "peer_pion"):
        programs[name] = str(BUILD / name)
        command = ["go", "build", "-o", programs[name], f"./{name}"]
        environment = {**os.environ, "GOTOOLCHAIN": "local", "PATH": f"{os.environ['PATH']}:{ROOT / 'build/tools/bin'}"}
        say(f"building {name}")
        subprocess.run(command, cwd=ROOT / "benchmarks", env=environment, check=True)
    return programs


def aiortc_python() -> str:
    """Install aiortc's own locked project and return its interpreter."""
    environment = BUILD / "aiortc"
    local = ROOT / "build" / "tools" / "bin"
    variables = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(environment), "PATH": f"{os.environ['PATH']}:{local}"}
    say("installing aiortc beside, from its own lock file")
    project = str(ROOT / "benchmarks" / "peer_aiortc")
    subprocess.run(["uv", "sync", "--quiet", "--locked", "--project", project], env=variables, check=True)
    return str(environment / "bin" / "python")


def measure(side: Side, count: int, load: str, options: argparse.Namespace) -> Row:
    """Let `count` publishers send to a side for a while; return what it cost and what it kept."""
    say(f"{side.name}, {count} streams: starting")
    video, audio = video_clip(BUILD), audio_clip(BUILD, side.channels)
    with side.running(count) as running:
        seconds = options.spread + WARM_S + options.window + TAIL_S
        command = [load, "-url", running.url, "-publishers", str(count), "-duration", f"{seconds}s"]
        command += ["-audio", str(audio), "-spread", f"{options.spread}s", "-bearer", "devtoken"]
        command += ["-video", str(video)] if side.has_picture else []
        command += ["-twcc"] if options.twcc else []
        with sending(command) as events:
            before, after, media_s = window_of(running, events, options)
            sent = next(events)["publishers"]
        kept = running.kept(count)
    return row_of(side.name, (before, after, media_s * count), sent, kept)


@contextmanager
def sending(command: list[str]) -> "Iterator[Iterator[dict[str, Any]]]":
    """Run the load; yield what it says."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield (json.loads(line) for line in process.stdout or ())
        if process.wait(30):
            raise SideError("the load failed; its reason stands above")
    finally:
        process.kill()
        process.wait()


def window_of(
    running: Running, events: Iterator[dict[str, Any]], options: argparse.Namespace
) -> tuple[Usage, Usage, float]:
    """Return what the side had used at both ends of the window, and how long it was, in seconds."""
    event = next(events, None)
    if event is None:
        raise SideError("the load could not begin; its reason stands above")
    time.sleep(options.spread + WARM_S)
    began, before = time.monotonic(), usage_of(running.pid)
    time.sleep(options.window)
    after, media_s = usage_of(running.pid, with_memory=True), time.monotonic() - began
    return before, after, media_s


def row_of(name: str, window: tuple[Usage, Usage, float], sent: list[dict[str, Any]], kept: list[Kept]) -> Row:
    """Put the figures of one measurement together; `window` is usage before and after, and its stream-seconds."""
    before, after, stream_s = window
    sent_frames = {one["number"]: Kept(one["video_frames"], one["audio_frames"]) for one in sent}
    total_sent, total_kept = sum(sent_frames.values(), NOTHING), sum(kept, NOTHING)
    count, per_stream = len(sent), len(kept) == len(sent)
    short = [n for n in sent_frames if per_stream and is_short(kept[n], sent_frames[n])]
    threads = {
        thread: (ns - before.threads_ns.get(thread, 0)) / 1e6 / stream_s for thread, ns in after.threads_ns.items()
    }
    return Row(
        side=name,
        streams=count,
        cpu_ms=(after.cpu_ns - before.cpu_ns) / 1e6 / stream_s,
        rss_mb=after.rss_bytes / 1e6,
        pss_mb=after.pss_bytes / 1e6,
        video_sent=total_sent.video_frames,
        video_kept=total_kept.video_frames,
        audio_sent=total_sent.audio_frames,
        audio_kept=total_kept.audio_frames,
        short_streams=len(short) if per_stream else int(is_short(total_kept, total_sent)),
        nacked=sum(one["nacked_packets"] for one in sent),
        late_ms=max(one["late_ms_max"] for one in sent),
        threads_ms=dict(sorted(threads.items(), key=lambda item: -item[1])),
    )


def is_short(kept: Kept, sent: Kept) -> bool:
    """Tell whether a frame is missing."""
    return kept.video_frames != sent.video_frames or kept.audio_frames != sent.audio_frames


def faults_of(rows: list[Row]) -> Iterator[str]:
    """Say what must not be."""
    cpu = {(row.side, row.streams): row.cpu_ms for row in rows}
    for row in rows:
        if row.late_ms > LATE_MS_MAX:
            yield f"{row.side}, {row.streams} streams: no measurement, the sender fell {row.late_ms:.0f} ms behind"
        if row.side.startswith("soloist") and row.short_streams:
            counts = f"{row.video_kept}/{row.video_sent} pictures, {row.audio_kept}/{row.audio_sent} sounds"
            yield f"{row.side}, {row.streams} streams: frames are missing in {row.short_streams} of them ({counts})"
    for count in JUDGED_COUNTS:
        ours, theirs = cpu.get((COPY, count)), cpu.get((PION, count))
        if ours is not None and theirs is not None and ours > theirs:
            yield f"{COPY} takes {ours:.1f} ms at {count} streams, the {PION} {theirs:.1f}"


def print_table(rows: list[Row]) -> None:
    """Print everything that was measured."""
    table = Table(title=f"CPU per second of media and stream, user + system, on {machine()}")
    for heading in (
        "streams",
        "side",
        "CPU ms",
        "of pion",
        "PSS MB",
        "RSS MB",
        "pictures",
        "sounds",
        "short",
        "asked again",
        "late ms",
    ):
        table.add_column(heading, justify="left" if heading == "side" else "right")
    pion = {row.streams: row.cpu_ms for row in rows if row.side == PION}
    for row in rows:
        share = f"{row.cpu_ms / pion[row.streams]:.2f}" if row.streams in pion else ""
        frames = (f"{row.video_kept}/{row.video_sent}", f"{row.audio_kept}/{row.audio_sent}", str(row.short_streams))
        sizes = (f"{row.pss_mb:.0f}", f"{row.rss_mb:.0f}")
        table.add_row(
            str(row.streams),
            row.side,
            f"{row.cpu_ms:.1f}",
            share,
            *sizes,
            *frames,
            str(row.nacked),
            f"{row.late_ms:.0f}",
        )
    console.print(table)
    for side in sorted({row.side for row in rows}):
        of_side = sorted((row for row in rows if row.side == side), key=lambda row: row.streams)
        if len(of_side) > 1:
            first, last = of_side[0], of_side[-1]
            streams = last.streams - first.streams
            more_mb = (last.pss_mb - first.pss_mb) / streams
            more_ms = (last.cpu_ms * last.streams - first.cpu_ms * first.streams) / streams
            console.print(f"{side}: {more_mb:.1f} MB and {more_ms:.2f} ms for each further stream")


def tell(row: Row, elapsed_s: float) -> None:
    """Say what one measurement gave, at once."""
    say(f"{row.side}, {row.streams} streams: {row.cpu_ms:.1f} ms, {row.short_streams} short ({elapsed_s:.0f} s so far)")
    if "--threads" in sys.argv:
        for thread, ms in list(row.threads_ms.items())[:14]:
            console.print(f"    {ms:7.2f} ms  {thread}")


def write_json(rows: list[Row], options: argparse.Namespace) -> None:
    """Write the figures, with what they were measured on."""
    options.json.parent.mkdir(parents=True, exist_ok=True)
    about = {
        "machine": machine(),
        "load_average": os.getloadavg(),
        "window_s": options.window,
        "spread_s": options.spread,
    }
    options.json.write_text(json.dumps({**about, "rows": [asdict(row) for row in rows]}, indent=1) + "\n")
    console.print(f"The figures are in {options.json}", soft_wrap=True)


def machine() -> str:
    """Name the machine by what matters here."""
    models = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    return f"{os.cpu_count()} x {models[0] if models else platform.machine()}"


def say(text: str) -> None:
    """Tell what is going on."""
    console.print(f"bench: {text}", highlight=False)


if __name__ == "__main__":
    main()
