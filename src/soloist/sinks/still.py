"""A black picture: what a playlist shows while its sender's camera is off and the sound goes on.

Players of HLS keep sound and picture in buffers of their own and play what both have: without any picture they leave
the sound out, or stop (ADR 0012). Kept as bytes, for an encoder in a recorder costs memory, and SVT-AV1 makes a thread
of root's a real-time one.
"""

from base64 import b64decode

from soloist.model.media import Codec

BLACK_SIZE = (320, 180)
BLACK_PICTURES = {
    Codec.H264: b64decode(
        b"AAAAAWdCwAvaBQZ+eEAAAAMAQAAAAwCjxQqoAAAAAWjOD8gAAAABZYiEOiYoAAkCycnJycnJycnJycnJycnJycnJyddddddddddd"
        + b"d" * 200
        + b"dddddddddeA="
    ),
    Codec.VP9: b64decode(
        b"gkmDQgAT8As2BjgkHBhKAADQR9j9Ygzb6TwBbUe4AGs8V29t/0rJ3LrfR1HV+cgN9jDsyzzDGm61whyynaZ6Y/oGuGs3Iin16Xvc"
        b"HN1oCAHXRWU3/0tFYnZgpdWfwtBMxMSMN/gfW0dLmVkmess3Q1PpKrwewt3AAA=="
    ),
    Codec.AV1: b64decode(b"CgsAAAAEPP7MSvkAQDIUEACFoAQQIIAAAADrxo76t95MU4A="),
}
"""A keyframe of that size for each codec a playlist may hold, as the receive core would hand it over. Made by
x264 (baseline, without SEI), libvpx-vp9 and SVT-AV1 of PyAV 18.1."""
