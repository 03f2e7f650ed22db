"""Decodes files by Debian's GStreamer and counts what its decoders put out.

No FFmpeg is in it: pictures are decoded by openh264, libvpx and libaom, sound by faad and libopus.
"""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("gstreamer_decode.py")


@dataclass(frozen=True)
class Decoded:
    """What came out of one file or playlist."""

    pictures_ns: list[int]
    """When each picture is shown."""
    sounds_ns: list[int]
    """When each buffer of sound is."""
    sizes: list[tuple[int, int]]
    """Sizes of pictures, in order of appearance."""
    complaints: list[str]


def decode(paths: Sequence[Path]) -> list[Decoded]:
    """Return what pipelines of GStreamer's own choice make of files and playlists."""
    command = ["/usr/bin/python3", str(_SCRIPT), *(path.resolve().as_uri() for path in paths)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30 * len(paths), check=False)
    assert done.returncode == 0, f"GStreamer's bindings are missing (`make setup` installs them): {done.stderr}"
    return [
        Decoded(seen["video"], seen["audio"], [tuple(size) for size in seen["sizes"]], seen["complaints"])
        for seen in json.loads(done.stdout)
    ]
