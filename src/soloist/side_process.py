"""What a process that is no recording does first: wait for CPU before one, and be ended before one (rules R39, R44).

Needs no privilege: a process may always ask for less. Spec: proc(5), oom_score_adj; setrlimit(2), RLIMIT_AS.
"""

import contextlib
import os
import resource
from pathlib import Path

OOM_SCORE = 500
"""Of two processes the kernel ends the one of the higher score; recorders have none of their own."""
FORWARDER_BYTES = 512 << 20
"""Address space of a forwarder, which takes 145 MB of it and is resident with 65 MB."""
TRANSCODER_BYTES = 1 << 30
"""That of a transcoder, which takes 940 MB for the largest pictures it is given, 4096 x 2304."""


def give_way(*, niceness: int, memory_bytes: int) -> None:
    """Be the first to wait for CPU, to be ended when memory runs out, and to be refused more than `memory_bytes`."""
    os.nice(niceness)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(str(OOM_SCORE), encoding="ascii")
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        memory_bytes = min(memory_bytes, hard)
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # A fault in it is ours to see in the log, not on the disk of every node.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
