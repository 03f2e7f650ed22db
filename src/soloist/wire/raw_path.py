"""Paths that mean one thing to us and may mean another to a proxy in front: found before anything is routed.

A proxy that lets `/metrics` pass to nobody may compare the path as it came, where we decode it: `/%6detrics`,
`//metrics` and `/x/../metrics` are the same address to one and not to the other. No client of ours writes them.
Spec: RFC 3986 §2.3 (unreserved characters need no encoding), §3.3, §6.2.2.
"""

import re

_NEEDLESS = re.compile(rb"%(?:2[dDeE]|3[0-9]|[46][1-9a-fA-F]|[57][0-9aA]|5[fF])")
"""Letters, digits, - . _ in percent-encoding. A tilde may be encoded: older signers do, and no rule turns on it."""
_EMPTY_OR_DOTS = re.compile(rb"/(?:\.{0,2})/|/\.{1,2}\Z")


def is_encoded_needlessly(raw_path: bytes) -> bool:
    """Tell whether a path as it came by the wire percent-encodes what never needs it."""
    return _NEEDLESS.search(raw_path) is not None


def has_odd_segments(raw_path: bytes) -> bool:
    """Tell whether a path as it came by the wire has an empty, `.` or `..` segment, or begins without a slash."""
    return _EMPTY_OR_DOTS.search(raw_path) is not None or not raw_path.startswith(b"/")
