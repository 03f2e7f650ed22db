"""What WHIP reads of an offer before the media core does, from browsers' and FFmpeg's own offers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloist.wire.sdp import SdpError, parse_fragment, summarise_offer

LINES = ["v=0", "a=ice-ufrag:", "m=audio 9 X 1", "a=", "m=", "=", "a=ice-pwd:x", "a=candidate:", "a=rtpmap:", "é=1"]
VECTORS = Path(__file__).parent / "vectors"


@pytest.mark.parametrize(
    ("name", "sections", "ufrag"),
    [
        ("chromium_h264.sdp", [("audio", "sendonly"), ("video", "sendonly")], "McPx"),
        ("ffmpeg_audio.sdp", [("audio", "sendonly")], "820f4e64"),
    ],
)
def test_real_offers_are_understood(name: str, sections: list[tuple[str, str]], ufrag: str) -> None:
    offer = summarise_offer((VECTORS / name).read_bytes())

    assert [(section.kind, section.direction) for section in offer.sending] == sections
    assert all(section.is_recordable for section in offer.sending)
    assert offer.ufrag == ufrag


def test_a_direction_before_the_first_section_holds_for_all() -> None:
    head = b"v=0\ns=-\na=recvonly\na=ice-ufrag:a\na=ice-pwd:b\na=fingerprint:x y\n"
    text = head + b"m=audio 9 X 1\nm=video 9 X 2\na=sendonly\n"

    assert [section.is_sending for section in summarise_offer(text).sections] == [False, True]


def test_a_fragment_counts_candidates_it_does_not_understand() -> None:
    fragment = parse_fragment(b"a=ice-ufrag:u\r\na=ice-pwd:p\r\na=candidate:what ever\r\na=candidate:\r\n")

    assert (fragment.ufrag, fragment.pwd, fragment.candidates_count) == ("u", "p", 2)


@pytest.mark.parametrize("line", ["m=audio", "m=audio x X 1", "m=audio -9 X 1", "m=audio 9a X 1"])
def test_a_broken_media_line_is_an_error(line: str) -> None:
    text = f"v=0\na=ice-ufrag:a\na=ice-pwd:b\na=fingerprint:x y\n{line}\n".encode()

    with pytest.raises(SdpError, match="m="):
        summarise_offer(text)


@given(st.binary(max_size=400))
def test_any_bytes_are_a_summary_or_an_error(body: bytes) -> None:
    for read in (summarise_offer, parse_fragment):
        try:
            read(body)
        except SdpError:
            continue


@given(st.lists(st.sampled_from(LINES)))
def test_any_lines_are_a_summary_or_an_error(lines: list[str]) -> None:
    for read in (summarise_offer, parse_fragment):
        try:
            read("\r\n".join(["v=0", *lines]).encode())
        except SdpError:
            continue
