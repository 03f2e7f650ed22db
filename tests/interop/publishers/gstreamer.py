"""GStreamer's webrtcbin as WHIP publisher; runs by the system's Python, which has its bindings.

Reads a plan from stdin (url, token, codec, pictures, sound), writes what it sent to stdout. Frames come from IVF files
and enter the pipeline in real time once media can flow, so that what was sent is known to the last frame.
"""

import json
import struct
import sys
import threading
import time
import urllib.parse
import urllib.request
from pathlib import Path

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import Gst, GstSdp, GstWebRTC  # noqa: E402 - the versions have to be said first

CHAINS = {
    "H264": "caps=video/x-h264,stream-format=byte-stream,alignment=au ! h264parse config-interval=-1 "
    "! rtph264pay config-interval=-1 aggregate-mode=zero-latency pt=96",
    "VP8": "caps=video/x-vp8 ! rtpvp8pay picture-id-mode=2 pt=96",
}
PIPELINE = """
webrtcbin name=peer bundle-policy=max-bundle
appsrc name=sound is-live=true format=time caps=audio/x-opus,channel-mapping-family=0,channels=1,rate=48000
  ! rtpopuspay pt=111 ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000 ! peer.
appsrc name=pictures is-live=true format=time {chain}
  ! application/x-rtp,media=video,encoding-name={codec},payload=96,clock-rate=90000 ! peer.
"""


def read_frames(path):
    """Return (seconds, bytes) of each frame of an IVF file."""
    with Path(path).open("rb") as file:
        rate, scale = struct.unpack("<16xII8x", file.read(32))
        frames = []
        while head := file.read(12):
            size, ticks = struct.unpack("<IQ", head)
            frames.append((ticks * scale / rate, file.read(size)))
        return frames


class Publisher:
    """One session."""

    def __init__(self, plan):
        self.plan = plan
        self.pipeline = Gst.parse_launch(PIPELINE.format(codec=plan["codec"], chain=CHAINS[plan["codec"]]))
        self.peer = self.pipeline.get_by_name("peer")
        self.gathered = threading.Event()
        self.peer.connect("notify::ice-gathering-state", self.on_gathering)
        self.resource = None

    def on_gathering(self, peer, _parameter):
        if peer.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            self.gathered.set()

    def join(self):
        """Offer, and apply the server's answer."""
        self.pipeline.set_state(Gst.State.PLAYING)
        for index in range(2):
            transceiver = self.peer.emit("get-transceiver", index)
            transceiver.set_property("direction", GstWebRTC.WebRTCRTPTransceiverDirection.SENDONLY)
        promise = Gst.Promise.new()
        self.peer.emit("create-offer", None, promise)
        promise.wait()
        # The reply owns the offer, so it has to live on.
        reply = promise.get_reply()
        self.peer.emit("set-local-description", reply.get_value("offer"), None)
        assert self.gathered.wait(10), "no candidates within 10 s"
        offer = self.peer.get_property("local-description").sdp.as_text()
        answer = self.post(offer)
        _, message = GstSdp.SDPMessage.new()
        GstSdp.sdp_message_parse_buffer(answer, message)
        described = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.peer.emit("set-remote-description", described, None)
        deadline = time.monotonic() + 15
        while self.peer.get_property("connection-state") != GstWebRTC.WebRTCPeerConnectionState.CONNECTED:
            state = self.peer.get_property("connection-state")
            assert time.monotonic() < deadline, f"not connected within 15 s: {state}\n{offer}\n{answer.decode()}"
            time.sleep(0.02)

    def post(self, offer):
        with self.ask("POST", self.plan["url"], offer.encode(), {"Content-Type": "application/sdp"}) as answer:
            self.resource = urllib.parse.urljoin(self.plan["url"], answer.headers["Location"])
            return answer.read()

    def ask(self, method, url, body, headers):
        headers = {"Authorization": f"Bearer {self.plan['token']}", **headers}
        request = urllib.request.Request(url, body, headers, method=method)  # noqa: S310 - the test's own server
        return urllib.request.urlopen(request, timeout=10)  # noqa: S310 - likewise

    def play(self):
        """Push every frame when it is due; return how many of each kind."""
        kinds = {kind: self.pipeline.get_by_name(kind) for kind in ("pictures", "sound")}
        # A packet of sound has to be heard to its end before it can be sent.
        delays = {"pictures": 0.0, "sound": 0.02}
        due = sorted((at + delays[kind], kind, at, data) for kind in kinds for at, data in read_frames(self.plan[kind]))
        sent = dict.fromkeys(kinds, 0)
        started = self.now()
        for moment, kind, at, data in due:
            time.sleep(max(0.0, started + moment - self.now()))
            buffer = Gst.Buffer.new_wrapped(data)
            buffer.pts = buffer.dts = int((started + at) * Gst.SECOND)
            buffer.duration = Gst.SECOND // (30 if kind == "pictures" else 50)
            kinds[kind].emit("push-buffer", buffer)
            sent[kind] += 1
        time.sleep(0.5)
        return sent

    def now(self):
        """Return the pipeline's running time, seconds."""
        return (self.pipeline.get_clock().get_time() - self.pipeline.get_base_time()) / Gst.SECOND

    def leave(self):
        """End the session."""
        if self.resource:
            self.ask("DELETE", self.resource, None, {}).close()
        self.pipeline.set_state(Gst.State.NULL)


def main():
    Gst.init(None)
    publisher = Publisher(json.load(sys.stdin))
    publisher.join()
    try:
        sent = publisher.play()
    finally:
        publisher.leave()
    version = ".".join(map(str, Gst.version()[:3]))
    print(json.dumps({**sent, "version": version}))


main()
