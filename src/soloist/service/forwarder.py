"""The forwarder process, started by a recorder for one job that forwards. Imports little: it is started often.

Its environment holds how to log and nothing else of ours; what to do comes by its standard input, a socket.
"""

import asyncio
import contextlib
import os
import signal
import socket

import uvloop

from soloist.forwarding.child import run_child
from soloist.service.errors import StartError
from soloist.service.logs import configure_logs
from soloist.service.parent import follow_supervisor
from soloist.side_process import FORWARDER_BYTES, give_way

NICENESS = 5


def run_forwarder() -> None:
    """Run a forwarder until its job is over or its recorder is gone.

    Raises:
        StartError: its recorder is gone already, or nobody started it.
    """
    as_json = os.environ.get("SOLOIST_LOG_FORMAT", "json") == "json"
    configure_logs(process="forwarder", as_json=as_json, level=os.environ.get("SOLOIST_LOG_LEVEL", "info"))
    follow_supervisor()
    try:
        connected = socket.socket(fileno=os.dup(0))
    except OSError:
        raise StartError("This command is for recorders to start; forward by a job's publish_param.") from None
    give_way(niceness=NICENESS, memory_bytes=FORWARDER_BYTES)
    uvloop.run(_run(connected))


async def _run(connected: socket.socket) -> None:
    ended = asyncio.ensure_future(run_child(connected))
    for which in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(which, ended.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await ended
