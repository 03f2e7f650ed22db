"""Soloist records one participant's stream of a WebRTC room, without decoding it."""

__version__ = "0.1.0"
