"""`soloist serve` as an operator meets it: what it refuses, what it survives, and what it leaves behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
from support.sdk import Sdk
from support.server import private_server


def test_a_second_serve_on_the_same_data_is_refused_by_name(server):
    answer = _soloist("serve", "--dev", "--port", "0", "--data", str(server.data), runtime=server.runtime)
    assert answer.returncode == 1
    assert str(server.process.pid) in answer.stderr
    assert "--data" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_taken_port_is_named_with_its_remedy_and_nothing_keeps_running(server):
    port = server.url.rpartition(":")[2]
    other = server.data.with_name("other")
    answer = _soloist("serve", "--dev", "--port", port, "--data", str(other), runtime=server.runtime / "other")
    assert answer.returncode == 1
    assert f"{port} cannot be used" in answer.stderr
    assert "--port" in answer.stderr
    assert not _processes_with(str(other))


def test_development_mode_refuses_the_network():
    answer = _soloist("serve", "--dev", "--host", "192.0.2.1")
    assert answer.returncode == 1
    assert "loopback only" in answer.stderr


def test_help_takes_little_more_cpu_than_the_library_that_prints_it():
    assert "soloist serve --dev" in _soloist("--help").stdout

    def library():
        subprocess.run([sys.executable, "-c", "import typer.rich_utils"], check=True)

    # In turn, and the best of five: the same work takes twice as long on a busy machine. What help must not load, the
    # web framework and the database's library, takes ten times as long as typer.
    cpu_s = [(_cpu_s_of(lambda: _soloist("--help")), _cpu_s_of(library)) for _ in range(5)]
    assert min(help_s for help_s, _ in cpu_s) < 2.5 * min(library_s for _, library_s in cpu_s)


def _cpu_s_of(run):
    """Return user and system time of the children that `run` waits for, in seconds."""
    before = os.times()
    run()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_jobs_survive_kill_9_of_recorder_and_postgresql():
    with private_server() as server:
        job_id = Sdk(server.url).create(room_id="r", user_id="alice", max_idle_time=600).job_id
        _until(lambda: _epoch(server, job_id) == 1)

        os.kill(_child(server, "soloist recorder"), signal.SIGKILL)
        _until(lambda: _epoch(server, job_id) == 2)

        os.kill(_child(server, "bin/postgres"), signal.SIGKILL)
        _until(lambda: _epoch(server, job_id) == 2)
        _until(lambda: Sdk(server.url).show(job_id).state == "RUNNING")
        Sdk(server.url).stop(job_id)
        _until(lambda: _query(server, "SELECT count(*) FROM job_events WHERE type = 'JobEnded'") == 1)


def test_kill_9_of_the_supervisor_takes_everything_with_it_and_the_next_start_goes_on():
    with private_server() as server:
        job_id = Sdk(server.url).create(room_id="r", user_id="alice", max_idle_time=600).job_id
        _until(lambda: _epoch(server, job_id) == 1)

        server.process.kill()
        server.process.wait()

        _until(
            lambda: not _processes_with(str(server.data)) and not _processes_with("soloist recorder", server.runtime)
        )
        again = subprocess.Popen(
            [sys.executable, "-m", "soloist", "serve", "--dev", "--port", "0", "--data", str(server.data)],
            env=_environment(server.runtime),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            _until(lambda: _epoch(server, job_id) == 2)
        finally:
            again.send_signal(signal.SIGINT)
            assert again.wait(20) == 0


def _soloist(*arguments, runtime=None):
    return subprocess.run(
        [sys.executable, "-m", "soloist", *arguments],
        env=_environment(runtime),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _environment(runtime):
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("SOLOIST_")}
    return inherited | {"SOLOIST_MEDIA_PORT": "0"} | ({"SOLOIST_RUNTIME": str(runtime)} if runtime else {})


def _processes_with(text, runtime=None):
    """Return the processes whose command line contains `text`, and whose environment names `runtime` if given."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            is_it = entry.name.isdecimal() and text.encode() in (entry / "cmdline").read_bytes().replace(b"\0", b" ")
            if is_it and (runtime is None or str(runtime).encode() in (entry / "environ").read_bytes()):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _child(server, text):
    """Return the child of the server whose command line contains `text`."""
    (pid,) = [
        pid
        for pid in _processes_with(text)
        if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == str(server.process.pid)
    ]
    return pid


def _epoch(server, job_id):
    return _query(server, "SELECT epoch FROM jobs WHERE job_id = %s", job_id)


def _query(server, statement, *values):
    try:
        with psycopg.connect(server.database_url, connect_timeout=2) as connection:
            return connection.execute(statement, values).fetchone()[0]
    except psycopg.OperationalError:
        return None


def _until(condition, seconds=20.0):
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except Exception:
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline, "it did not come to that in time"
        time.sleep(0.1)
