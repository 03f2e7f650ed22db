"""`make crash`: kill -9 at random instants of a service that records, and what each of them cost.

Several trials (`tests/support/crash_trial.py`) run side by side. Afterwards every file is decoded by ffmpeg and read by
pymp4, and every hole between files is held against what may be lost and what the manifests declare.
Exit status 1 if a job is lost, a file does not open, a hole is too long or not declared.
"""

import argparse
import secrets
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from rich.console import Console  # noqa: E402 - the path must be set first
from rich.table import Table  # noqa: E402 - likewise
from support.crash_trial import Trial, drawn  # noqa: E402 - likewise
from support.database import private_folder  # noqa: E402 - likewise


def main() -> None:
    """Run the trials and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kills", type=int, nargs="?", default=100, help="kill -9s in all")
    parser.add_argument("--trials", type=int, default=3, help="services side by side")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**32), help="repeats the same instants")
    arguments = parser.parse_args()
    trials_count = min(arguments.trials, max(1, arguments.kills // 5))
    print(f"{arguments.kills} kills in {trials_count} trials, seed {arguments.seed}", flush=True)
    began = time.monotonic()
    with private_folder("crash-") as folder:
        trials = []
        for number in range(trials_count):
            count = arguments.kills // trials_count + (number < arguments.kills % trials_count)
            place = folder / str(number)
            place.mkdir(mode=0o711)
            seed = arguments.seed + number
            trials.append(Trial(number, seed, drawn(seed, count), place))
        run_all(trials)
        complaints = report(trials)
        print(f"{time.monotonic() - began:.0f} s")
        if complaints:
            keep = ROOT / "build" / "crash"
            keep.mkdir(parents=True, exist_ok=True)
            for trial in trials:
                (keep / f"serve-{trial.number}.log").write_bytes((trial.folder / "serve.log").read_bytes())
            print("\n".join(complaints) + f"\nThe logs are in {keep}")
            sys.exit(1)


def run_all(trials: list[Trial]) -> None:
    """Run the trials side by side."""
    threads = [threading.Thread(target=trial.run, name=f"trial-{trial.number}") for trial in trials]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(15)
        print(f"kills so far: {sum(kill.victim != 'restart' for t in trials for kill in t.kills)}", flush=True)


def report(trials: list[Trial]) -> list[str]:
    """Print what each kind of blow cost; return what is wrong."""
    table = Table(title="kill -9 at random instants")
    for name in ("killed", "times", "lost beside the publisher's absence", "absence: median / worst s"):
        table.add_column(name)
    done = [trial for trial in trials if trial.verdict is not None]
    for victim in ("recorder", "supervisor", "restart", "api", "postgres"):
        kills = [kill for trial in trials for kill in trial.kills if kill.victim == victim]
        at = {kill.at_s for kill in kills}
        lost = [hole.lost_s for t in done if t.verdict for hole in t.verdict.holes if at & set(hole.kills_at_s)]
        away = [kill.away_s for kill in kills if kill.away_s]
        name = "nothing: SIGINT and start" if victim == "restart" else victim
        table.add_row(name, str(len(kills)), _spread(lost), _spread(away))
    Console(width=140).print(table)
    files = [file for trial in done for file in trial.files]
    lost_jobs = sum(trial.verdict is None for trial in trials)
    print(f"jobs {len(trials)}, lost {lost_jobs}; files {len(files)}, each decoded by ffmpeg and read by pymp4")
    for trial in done:
        if trial.verdict:
            holes = trial.verdict.holes
            print(f"trial {trial.number}: pictures sent {trial.verdict.sent}, in files {trial.verdict.kept}, "
                  f"holes {len(holes)}, declared {sum(hole.is_declared for hole in holes)}")  # fmt: skip
    wrong = [f"trial {t.number}: {complaint}" for t in done if t.verdict for complaint in t.verdict.complaints]
    return wrong + [f"trial {t.number} (seed {t.seed}): {t.error!r}" for t in trials if t.error is not None]


def _spread(values: list[float]) -> str:
    return f"{sorted(values)[len(values) // 2]:.2f} / {max(values):.2f}" if values else "0"


if __name__ == "__main__":
    main()
