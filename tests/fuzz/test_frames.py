"""Frames of any bytes and times behind real ones, into timeline and files: whatever comes, every file opens (R24)."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.fuzz_media import CODECS, HEAD, frames, pack

RECORDS = st.lists(
    st.tuples(
        st.integers(0, 7),
        st.integers(0, (1 << 32) - 1),
        st.integers(0, 60_000),
        st.integers(0, 9000),
        st.integers(0, 9000),
        st.binary(max_size=60),
    ),
    max_size=30,
)
"""Flags, RTP time, arrival in milliseconds, width, height, payload."""


@settings(max_examples=150)
@given(st.sampled_from(CODECS), st.integers(0, 7), RECORDS)
def test_any_frames_behind_real_ones_leave_files_that_open(codec, how, records):
    hostile = [HEAD.pack(*numbers, len(payload)) + payload for *numbers, payload in records]
    frames(pack(codec, how=how) + b"".join(hostile))


@settings(max_examples=150)
@given(st.sampled_from(CODECS), st.integers(0, 7), RECORDS)
def test_any_frames_from_the_first_on_leave_files_that_open_or_a_reason(codec, how, records):
    hostile = [HEAD.pack(*numbers, len(payload)) + payload for *numbers, payload in records]
    frames(bytes([CODECS.index(codec) | how << 2]) + b"".join(hostile))
