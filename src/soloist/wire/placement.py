"""Which recorder slot an embedded room belongs to: rendezvous hashing, stable while the set of slots is.

Adding or removing one slot moves only the rooms that win or lose by it.
"""

import hashlib
from collections.abc import Sequence


def slot_of_room(app_id: str, room_id: str, slots: Sequence[str]) -> str:
    """Return the slot with the highest hash for this room; `slots` must not be empty, its order does not matter."""
    return max(slots, key=lambda slot: hashlib.sha256(f"{slot}|{app_id}|{room_id}".encode()).digest())
