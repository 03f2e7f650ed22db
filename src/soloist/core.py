"""The typed door to the pure part of the native module: item types, no sockets.

`sources/receiver.py` alone opens a `Receiver`; a lint rule keeps everyone else behind this door.
"""

from soloist._core import (  # noqa: TID251 - this is the door
    Closed,
    Connected,
    Frame,
    OfferError,
    Overflow,
    SenderReport,
    SessionGoneError,
    Track,
)

Item = Frame | SenderReport | Connected | Closed | Overflow

__all__ = [
    "Closed",
    "Connected",
    "Frame",
    "Item",
    "OfferError",
    "Overflow",
    "SenderReport",
    "SessionGoneError",
    "Track",
]
