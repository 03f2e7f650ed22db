"""`docs/codecs.md` says what the matrix says."""

from pathlib import Path

from soloist.model.media import Codec, Kind
from soloist.model.rule import AudioMode, RecordFormat
from soloist.sinks.matrix import Container, Plan, plan

TEXT = (Path(__file__).parents[2] / "docs" / "codecs.md").read_text()
PICTURES = {None: "none (sound alone)", Codec.H264: "H.264", Codec.VP8: "VP8", Codec.VP9: "VP9", Codec.AV1: "AV1"}
CONTAINERS = {
    Container.MP4: "MP4",
    Container.WEBM: "WebM ¹",
    Container.TS: "HLS of TS segments",
    Container.FMP4: "HLS of fMP4 segments",
}
SOUNDS = {Codec.AAC: "AAC", Codec.OPUS: "Opus"}


def cell(chosen: Plan, mode: AudioMode) -> str:
    is_refused = mode is AudioMode.COPY and chosen.audio_codec is not Codec.OPUS
    assert chosen.audio_codec is not None
    return f"{CONTAINERS[chosen.container]}, {SOUNDS[chosen.audio_codec]}{' ²' if is_refused else ''}"


def test_the_table_has_a_row_for_every_picture_and_format_and_says_what_is_written():
    rows = []
    for video, name in PICTURES.items():
        for wanted in (RecordFormat.MP4, RecordFormat.HLS):
            cells = [cell(plan(video, with_audio=True, audio_mode=m, wanted=wanted), m) for m in AudioMode]
            rows.append(f"| {name} | {wanted} | {' | '.join(cells)} |")

    assert [line for line in TEXT.splitlines() if line.startswith(tuple(f"| {n} |" for n in PICTURES.values()))] == rows
    assert PICTURES.keys() == {None, *(codec for codec in Codec if codec.kind is Kind.VIDEO)}


def test_every_fallback_has_its_footnote():
    fallbacks = {
        video
        for video in PICTURES
        for wanted in (RecordFormat.MP4, RecordFormat.HLS)
        if plan(video, with_audio=True, audio_mode=AudioMode.AAC, wanted=wanted).is_fallback
    }

    assert fallbacks == {Codec.VP8}
    assert "\n¹ The declared fallback" in TEXT
    assert "\n² Browsers' players" in TEXT
