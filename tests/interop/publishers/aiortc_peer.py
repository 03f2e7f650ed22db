"""aiortc as WHIP publisher of frames that are encoded already; runs in the environment of the benchmark's aiortc peer.

Reads a plan from stdin (url, token, codec, pictures, sound), writes what it sent to stdout.
"""

import asyncio
import json
import struct
import sys
import time
import urllib.parse
from fractions import Fraction
from pathlib import Path

import aiohttp
import aiortc
import av
from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError

START = asyncio.Event()


def read_frames(path):
    """Return (ticks, bytes) of each frame of an IVF file, and its time base."""
    with Path(path).open("rb") as file:
        rate, scale = struct.unpack("<16xII8x", file.read(32))
        frames = []
        while head := file.read(12):
            size, ticks = struct.unpack("<IQ", head)
            frames.append((ticks, file.read(size)))
        return frames, Fraction(scale, rate)


class Clip(MediaStreamTrack):
    """A track of encoded frames, each handed out when it is due."""

    def __init__(self, kind, path, delay_s):
        super().__init__()
        self.kind = kind
        self.frames, self.base = read_frames(path)
        self.delay_s = delay_s
        self.sent = 0
        self.done = asyncio.Event()

    async def recv(self):
        await START.wait()
        if self.sent == len(self.frames):
            self.done.set()
            raise MediaStreamError
        ticks, data = self.frames[self.sent]
        await asyncio.sleep(max(0.0, Clip.started + float(ticks * self.base) + self.delay_s - time.monotonic()))
        self.sent += 1
        packet = av.Packet(data)
        packet.pts, packet.time_base = ticks, self.base
        return packet


async def publish(plan):
    """Publish the clip once."""
    pictures, sound = Clip("video", plan["pictures"], 0.0), Clip("audio", plan["sound"], 0.02)
    pc = RTCPeerConnection()
    pc.addTransceiver(sound, direction="sendonly")
    transceiver = pc.addTransceiver(pictures, direction="sendonly")
    known = RTCRtpSender.getCapabilities("video").codecs
    transceiver.setCodecPreferences([codec for codec in known if codec.mimeType == f"video/{plan['codec']}"])
    connected = asyncio.Event()
    pc.on("connectionstatechange", lambda: connected.set() if pc.connectionState == "connected" else None)
    await pc.setLocalDescription(await pc.createOffer())
    headers = {"Authorization": f"Bearer {plan['token']}"}
    async with aiohttp.ClientSession(headers=headers) as http:
        offer = {"data": pc.localDescription.sdp, "headers": {"Content-Type": "application/sdp"}}
        async with http.post(plan["url"], **offer) as answer:
            assert answer.status == 201, await answer.text()
            resource = urllib.parse.urljoin(plan["url"], answer.headers["Location"])
            await pc.setRemoteDescription(RTCSessionDescription(await answer.text(), "answer"))
        await asyncio.wait_for(connected.wait(), 15)
        Clip.started = time.monotonic() + 0.1
        START.set()
        await asyncio.gather(pictures.done.wait(), sound.done.wait())
        await asyncio.sleep(0.4)
        async with http.delete(resource) as answer:
            assert answer.status == 200
    await pc.close()
    return {"pictures": pictures.sent, "sound": sound.sent, "version": aiortc.__version__}


print(json.dumps(asyncio.run(publish(json.load(sys.stdin)))))
