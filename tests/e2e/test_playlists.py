"""Players play what senders do to a playlist: who is late, stops early, sends slides, or falls silent for a while."""

from dataclasses import replace
from fractions import Fraction

import pytest
from playwright.sync_api import Browser
from support.filed import filed
from support.hls_rules import parse
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.playback import player_of
from support.stage import a_publisher, frames_of, merged

from soloist.model.media import Codec
from soloist.model.rule import AudioMode, HlsConfig, RecordFormat

PLAYERS = ("hls", "shaka")
START_S = 0.1
"""A player may go to the first picture of a playlist."""


def pictures(codec, seconds, *, at_s=0.0, size=(640, 360), fps=15, slower=1.0, **terms):
    """Return pictures that are captured from `at_s` on, `slower` times as far apart as `fps` says."""
    samples = video_samples(codec, seconds, width=size[0], height=size[1], fps=fps, **terms)
    spread = [replace(sample, pts_ticks=round(sample.pts_ticks * slower + at_s * 90_000)) for sample in samples]
    return frames_of(spread, codec, size=size)


def sound(seconds, *, at_s=0.0):
    """Return sound that is captured from `at_s` on."""
    return frames_of(
        [replace(s, pts_ticks=s.pts_ticks + round(at_s * 48_000)) for s in opus_samples(Fraction(seconds))], Codec.OPUS
    )


def late_picture(codec):
    """The picture begins a packet and a half after the sound, and changes its size after a short hole."""
    other = pictures(codec, 3, at_s=1.5, size=(320, 180))
    return merged(pictures(codec, Fraction(13, 10), at_s=0.03), other, sound(4.5))


def camera_off_before_the_end(codec):
    """The camera is switched off one and a half seconds before the sound ends."""
    return merged(pictures(codec, 5), sound(6.5))


def slides(codec):
    """A screen is sent of which little changes: a picture in 1.7 seconds."""
    return merged(pictures(codec, 6, fps=1, gop=2, slower=1.7), sound(10))


def rare_keyframes(codec):
    """The sender heeds no request, as x264 in OBS: a keyframe every 250 pictures of 30 a second."""
    return merged(pictures(codec, 18, gop=125), sound(18))


def silence(codec):
    """Nothing comes for three seconds; then the sound is there long before a picture."""
    back = pictures(codec, 3, at_s=6.8)
    return merged(pictures(codec, 3), back, sound(3), sound(3, at_s=6))


def pause(codec):
    """The sound pauses while the picture changes its size, twice within a second."""
    sizes = pictures(codec, 1), pictures(codec, 1, at_s=1, size=(320, 180)), pictures(codec, 2, at_s=2)
    return merged(*sizes, sound(0.95), sound(1.5, at_s=2.5))


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP9])
@pytest.mark.parametrize("sends", [late_picture, camera_off_before_the_end, slides, rare_keyframes, silence, pause])
def test_players_play_a_playlist_whatever_its_sender_does(tmp_path, browser: Browser, codec, sends):
    hls = HlsConfig(0, "p/{stream}", slice_s=2, merge_gap_s=-1)
    rule = a_rule(formats=(RecordFormat.HLS,), hls=hls, audio=AudioMode.COPY if sends is pause else AudioMode.AAC)

    desk = filed(tmp_path, a_job(rule=rule), a_publisher(codec=codec), sends(codec))
    (key,) = (key for key in desk.objects if key.endswith(".m3u8"))
    playlist = parse(desk.objects[key].read_text())
    assert playlist.complaints == []
    with player_of(browser, tmp_path / "storage" / "recordings") as player:
        for by in PLAYERS:
            player.play(by, key, rate=4, by=by, stock_s=min(4, playlist.duration_s / 2))
        for by in PLAYERS:
            seen = player.until_ended(by, 40)
            assert (seen.fatal, seen.stalls) == ([], []), (by, seen)
            assert [jump_s for jump_s in seen.jumps if jump_s > START_S] == [], (by, seen)
            assert seen.position_s == pytest.approx(playlist.duration_s, abs=0.3), (by, seen)
