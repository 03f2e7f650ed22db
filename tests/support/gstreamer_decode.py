"""Run by Debian's own Python, which has GStreamer's bindings: decodes each URI given and prints what came out as JSON.

Knows nothing of this project, so that it needs nothing of its environment.
"""

import json
import sys

import gi

gi.require_version("Gst", "1.0")
from gi.repository import Gst  # noqa: E402 - the version is chosen first

PATIENCE_NS = 15 * 1_000_000_000
"""A file of seconds, decoded as fast as it goes, that takes longer hangs."""


def decode(uri):
    """Return when each picture and buffer of sound is shown, the sizes of pictures, and what was complained of."""
    pipeline = Gst.ElementFactory.make("pipeline")
    source = Gst.ElementFactory.make("uridecodebin")
    source.set_property("uri", uri)
    pipeline.add(source)
    seen = {"video": [], "audio": [], "sizes": [], "complaints": []}
    source.connect("pad-added", lambda _source, pad: connect(pipeline, pad, seen))
    pipeline.set_state(Gst.State.PLAYING)
    watch(pipeline.get_bus(), seen["complaints"])
    pipeline.set_state(Gst.State.NULL)
    return seen


def connect(pipeline, pad, seen):
    """Let what comes out of a decoder be noted."""
    kind = pad.get_current_caps().to_string().split("/")[0]
    queue, sink = Gst.ElementFactory.make("queue"), Gst.ElementFactory.make("fakesink")
    for name in ("max-size-time", "max-size-bytes", "max-size-buffers"):
        queue.set_property(name, 0)
    for name, value in (("sync", False), ("async", False), ("signal-handoffs", True)):
        sink.set_property(name, value)

    def note(_sink, buffer, sink_pad):
        seen[kind].append(buffer.pts)
        if kind == "video":
            structure = sink_pad.get_current_caps().get_structure(0)
            size = [structure.get_int("width")[1], structure.get_int("height")[1]]
            if size not in seen["sizes"]:
                seen["sizes"].append(size)

    sink.connect("handoff", note)
    for element in (queue, sink):
        pipeline.add(element)
        element.sync_state_with_parent()
    queue.link(sink)
    pad.link(queue.get_static_pad("sink"))


def watch(bus, complaints):
    """Return at the end of the media, or at what prevents it; warnings are noted on the way."""
    wanted = Gst.MessageType.EOS | Gst.MessageType.ERROR | Gst.MessageType.WARNING
    while True:
        message = bus.timed_pop_filtered(PATIENCE_NS, wanted)
        if message is None:
            complaints.append("no end")
        elif message.type == Gst.MessageType.ERROR:
            complaints.append(" ".join(map(str, message.parse_error())))
        elif message.type == Gst.MessageType.WARNING:
            complaints.append(" ".join(map(str, message.parse_warning())))
            continue
        return


Gst.init(None)
print(json.dumps([decode(uri) for uri in sys.argv[1:]]))
