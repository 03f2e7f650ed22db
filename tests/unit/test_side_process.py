"""What is no recording gives way: to CPU, to memory, and to the kernel when there is none left."""

import subprocess
import sys

from soloist.side_process import OOM_SCORE

PROBE = """
from soloist.side_process import give_way
import os
give_way(niceness=7, memory_bytes=300 << 20)
print(os.nice(0), open("/proc/self/oom_score_adj").read().strip())
try:
    bytearray(400 << 20)
except MemoryError:
    print("refused")
"""


def test_a_process_that_gives_way_is_niced_ended_first_and_held_to_its_memory():
    said = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, check=True).stdout.split()

    assert said == ["7", str(OOM_SCORE), "refused"]
