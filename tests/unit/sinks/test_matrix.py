"""Every codec has a declared place in every wanted format; nothing falls through (rule R21)."""

from itertools import product

import pytest

from soloist.model.media import Codec, Kind
from soloist.model.rule import AudioMode, RecordFormat
from soloist.sinks.matrix import Container, plan

VIDEO = [None, *(codec for codec in Codec if codec.kind is Kind.VIDEO)]
EVERYTHING = list(product((RecordFormat.MP4, RecordFormat.HLS), VIDEO, AudioMode))


@pytest.mark.parametrize(("wanted", "video", "mode"), EVERYTHING)
def test_every_combination_has_a_plan_with_its_audio(wanted, video, mode):
    chosen = plan(video, with_audio=True, audio_mode=mode, wanted=wanted)

    assert chosen.audio_codec in (Codec.AAC, Codec.OPUS)
    assert len(chosen.note) <= 128


@pytest.mark.parametrize(("wanted", "video", "mode"), EVERYTHING)
def test_another_format_than_the_wanted_is_always_explained(wanted, video, mode):
    chosen = plan(video, with_audio=True, audio_mode=mode, wanted=wanted)

    assert chosen.record_format is wanted or chosen.note


@pytest.mark.parametrize(("wanted", "video", "mode"), EVERYTHING)
def test_no_container_gets_what_it_cannot_carry(wanted, video, mode):
    chosen = plan(video, with_audio=True, audio_mode=mode, wanted=wanted)

    carried = {
        Container.MP4: {None, Codec.H264, Codec.VP9, Codec.AV1},
        Container.FMP4: {Codec.VP9, Codec.AV1},
        Container.TS: {None, Codec.H264},
        Container.WEBM: {Codec.VP8},
    }
    assert video in carried[chosen.container]
    assert chosen.container is not Container.TS or chosen.audio_codec is Codec.AAC
    assert chosen.container is not Container.WEBM or chosen.audio_codec is Codec.OPUS


@pytest.mark.parametrize("video", [Codec.H264, Codec.VP9, Codec.AV1, None])
def test_mp4_is_mp4_with_aac_unless_copy_is_asked_for(video):
    aac = plan(video, with_audio=True, audio_mode=AudioMode.AAC, wanted=RecordFormat.MP4)
    copy = plan(video, with_audio=True, audio_mode=AudioMode.COPY, wanted=RecordFormat.MP4)

    assert (aac.container, aac.record_format, aac.audio_codec, aac.note) == ("mp4", "MP4", Codec.AAC, "")
    assert (copy.container, copy.record_format, copy.audio_codec, copy.note) == ("mp4", "MP4", Codec.OPUS, "")


@pytest.mark.parametrize("wanted", [RecordFormat.MP4, RecordFormat.HLS])
def test_vp8_goes_to_webm_and_says_so(wanted):
    chosen = plan(Codec.VP8, with_audio=True, audio_mode=AudioMode.AAC, wanted=wanted)

    assert (chosen.container, chosen.record_format, chosen.audio_codec) == ("webm", "WEBM", Codec.OPUS)
    assert "VP8" in chosen.note
    assert wanted in chosen.note


def test_file_without_sound_has_no_audio_track():
    chosen = plan(Codec.H264, with_audio=False, audio_mode=AudioMode.AAC, wanted=RecordFormat.MP4)

    assert chosen.audio_codec is None
