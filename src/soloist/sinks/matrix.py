"""Which container keeps which codec, and what is written instead where it cannot: one table, nothing else decides.

Knows codecs and containers; knows no file and no muxer. Rule R21: a fallback is declared, never a silently missing
track. Spec: design section 5, API section 6.2.
"""

from dataclasses import dataclass
from enum import StrEnum

from soloist.model.media import Codec
from soloist.model.rule import AudioMode, RecordFormat


class Container(StrEnum):
    """A container a file or segment is written in."""

    MP4 = "mp4"
    WEBM = "webm"
    TS = "ts"
    FMP4 = "fmp4"


@dataclass(frozen=True, slots=True)
class Plan:
    """What will be written for one wanted format."""

    container: Container
    record_format: RecordFormat
    """What the file is called in keys, events and the manifest; differs from the wanted one after a fallback."""
    audio_codec: Codec | None
    """None: no audio track."""
    note: str
    """Why something other than the wanted was chosen, at most 128 characters; empty if nothing was."""
    is_fallback: bool = False
    """True if the wanted format cannot keep the picture."""


SEGMENTED = frozenset({Container.TS, Container.FMP4})
"""Containers of which one file is a playlist and its segments."""

TRANSCODED_NOTE = "VP8 was transcoded to H.264."
_VP8_NOTE = "VP8 cannot be kept in {} without transcoding; recorded as WebM."

CONTAINER_OF: dict[tuple[RecordFormat, Codec | None], tuple[Container, RecordFormat, str]] = {
    (RecordFormat.MP4, None): (Container.MP4, RecordFormat.MP4, ""),
    (RecordFormat.MP4, Codec.H264): (Container.MP4, RecordFormat.MP4, ""),
    (RecordFormat.MP4, Codec.VP9): (Container.MP4, RecordFormat.MP4, ""),
    (RecordFormat.MP4, Codec.AV1): (Container.MP4, RecordFormat.MP4, ""),
    (RecordFormat.MP4, Codec.VP8): (Container.WEBM, RecordFormat.WEBM, _VP8_NOTE.format("MP4")),
    (RecordFormat.HLS, None): (Container.TS, RecordFormat.HLS, ""),
    (RecordFormat.HLS, Codec.H264): (Container.TS, RecordFormat.HLS, ""),
    (RecordFormat.HLS, Codec.VP9): (Container.FMP4, RecordFormat.HLS, ""),
    (RecordFormat.HLS, Codec.AV1): (Container.FMP4, RecordFormat.HLS, ""),
    (RecordFormat.HLS, Codec.VP8): (Container.WEBM, RecordFormat.WEBM, _VP8_NOTE.format("HLS")),
}
"""(wanted format, video codec or None for audio only) -> container, its name, note. TS carries H.264 alone.

No rule can want WebM: it is only ever the fallback of VP8."""

AUDIO_OF: dict[tuple[Container, AudioMode], tuple[Codec, str]] = {
    (Container.MP4, AudioMode.AAC): (Codec.AAC, ""),
    (Container.MP4, AudioMode.COPY): (Codec.OPUS, ""),
    (Container.FMP4, AudioMode.AAC): (Codec.AAC, ""),
    (Container.FMP4, AudioMode.COPY): (Codec.OPUS, ""),
    (Container.TS, AudioMode.AAC): (Codec.AAC, ""),
    (Container.TS, AudioMode.COPY): (Codec.AAC, "Players take no Opus in TS; audio is AAC."),
    (Container.WEBM, AudioMode.AAC): (Codec.OPUS, "WebM keeps Opus as received."),
    (Container.WEBM, AudioMode.COPY): (Codec.OPUS, ""),
}
"""(container, how audio was asked for) -> audio codec, note."""


def plan(
    video: Codec | None,
    *,
    with_audio: bool,
    audio_mode: AudioMode,
    wanted: RecordFormat,
    is_transcoded: bool = False,
) -> Plan:
    """Return what is written when `wanted` is asked for; `video` is None for audio only.

    `is_transcoded` says that its pictures came as VP8.

    Raises:
        KeyError: `video` is not a video codec, or `wanted` no format a rule can ask for (faults of ours).
    """
    container, record_format, note = CONTAINER_OF[wanted, video]
    note = TRANSCODED_NOTE if is_transcoded else note
    if not with_audio:
        return Plan(container, record_format, None, note, record_format is not wanted)
    audio_codec, audio_note = AUDIO_OF[container, audio_mode]
    text = " ".join(filter(None, (note, audio_note)))
    return Plan(container, record_format, audio_codec, text, record_format is not wanted)
