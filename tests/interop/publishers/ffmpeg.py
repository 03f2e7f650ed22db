"""FFmpeg's whip muxer, by PyAV, in a process of its own: it can wait for ever inside a call.

Reads a plan from stdin (url, token, file, and cert_file, key_file, is_active), writes what it sent to stdout.
"""

import json
import sys
import time

import av


def main() -> None:
    """Publish the file once, in real time."""
    plan = json.load(sys.stdin)
    options = {name: plan[name] for name in ("cert_file", "key_file") if plan.get(name)}
    options |= {"authorization": plan["token"], "handshake_timeout": "8000"}
    if plan["is_active"]:
        options["whip_flags"] = "dtls_active"
    sent = {"video": 0, "audio": 0}
    with av.open(plan["file"]) as clip, av.open(plan["url"], "w", format="whip", options=options) as session:
        streams = {stream.index: session.add_stream_from_template(stream) for stream in clip.streams}
        session.start_encoding()
        started = time.monotonic()
        for packet in clip.demux():
            if packet.pts is None:
                continue
            # A packet of sound has to be heard to its end before it can be sent.
            delay_s = 0.02 if packet.stream.type == "audio" else 0.0
            time.sleep(max(0.0, started + float(packet.pts * packet.time_base) + delay_s - time.monotonic()))
            sent[packet.stream.type] += 1
            packet.stream = streams[packet.stream.index]
            session.mux(packet)
        time.sleep(0.3)
    json.dump({**sent, "version": ".".join(map(str, av.library_versions["libavformat"]))}, sys.stdout)


main()
