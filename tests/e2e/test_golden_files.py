"""Everything the matrix offers, played by three players that share no code (rules R18, R22).

What was recorded is in `support/goldens.py`: each combination of container, picture and sound, the same with a hole of
five seconds, and pictures that change their size. `docs/codecs.md` tells of these combinations and what plays them.
"""

import itertools
from pathlib import Path

import pytest
from playwright.sync_api import Browser
from support.goldens import FPS, HOLE, LOST_S, RESIZE, SIZES, Case, Golden, cases, record
from support.gstreamer import Decoded, decode
from support.playback import Playback, Player, player_of
from support.probe import counters
from support.recorded import ffmpeg_complaints

from soloist.model.media import Codec
from soloist.sinks.matrix import SEGMENTED, Container

CASES = cases()
BY_CASE = pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
RATE = 4
AT_ONCE = 6
"""Players in a page: with more, hardware without a GPU falls behind."""
PACKET_S = 0.021
"""Of sound: how much earlier than a picture captured with it a packet begins."""


@pytest.fixture(scope="module")
def goldens(tmp_path_factory: pytest.TempPathFactory) -> dict[Case, Golden]:
    folder = tmp_path_factory.mktemp("goldens")
    return {case: record(case, folder) for case in CASES}


@pytest.fixture(scope="module")
def gstreamer(goldens: dict[Case, Golden]) -> dict[Path, Decoded]:
    paths = [path for golden in goldens.values() for path in golden.paths]
    return dict(zip(paths, decode(paths), strict=True))


@pytest.fixture(scope="module")
def chromium_seen(goldens: dict[Case, Golden], browser: Browser) -> dict[Path, tuple[Playback, list[float]]]:
    """What Chromium showed of each file, and where it came to when it sought a sixth, the last picture, the start."""
    paths = [path for golden in goldens.values() for path in golden.paths]
    root = goldens[CASES[0]].folder.parents[2]
    seen = {}
    for some in (paths[at : at + AT_ONCE] for at in range(0, len(paths), AT_ONCE)):
        with player_of(browser, root) as player:
            for path in some:
                player.play(str(path), str(path.relative_to(root)), rate=RATE)
            seen |= {path: _watch(player, str(path)) for path in some}
    return seen


def _watch(player: Player, name: str) -> tuple[Playback, list[float]]:
    playback = player.until_ended(name, 20)
    return playback, player.seek(name, _sought(playback.duration_s))


def _sought(duration_s: float) -> list[float]:
    return [duration_s / 6, duration_s - 1.5 / FPS, 0.01]


def sizes_of(case: Case, part: int, parts: int) -> list[tuple[int, int]]:
    """Return the sizes of the pictures in a case's part-th file."""
    if case.video is None:
        return []
    return list(SIZES[:1] if case.event != RESIZE else SIZES if parts == 1 else SIZES[part : part + 1])


@BY_CASE
def test_ffmpeg_decodes_every_picture_that_was_sent_and_complains_of_nothing(goldens, case):
    golden = goldens[case]
    shown = [number for path in golden.paths for _, number in (counters(path) if case.video else [])]
    # ffmpeg 5.1 knows one initialisation section and says so of others.
    is_known = case.event == RESIZE and case.container is Container.FMP4
    complaints = [line for path in golden.paths for line in ffmpeg_complaints(path).splitlines()]

    assert shown == case.numbers
    assert [line for line in complaints if not (is_known and "duplicated MOOV" in line)] == []
    assert len(golden.paths) == (2 if (case.video, case.container, case.event) == (Codec.AV1, "mp4", RESIZE) else 1)


@BY_CASE
def test_chromium_plays_it_to_its_end_and_finds_what_it_seeks(goldens, chromium_seen, case):
    paths = goldens[case].paths
    for part, path in enumerate(paths):
        playback, shown = chromium_seen[path]

        assert playback.errors == []
        assert playback.position_s == playback.duration_s
        assert playback.duration_s == pytest.approx(case.played_s / len(paths), abs=1.5 / FPS)
        assert playback.has_sound == (case.sound is not None)
        assert playback.size == (sizes_of(case, part, len(paths)) or [(0, 0)])[-1]
        wanted = _sought(playback.duration_s)
        early = [at - there for at, there in zip(wanted, shown, strict=True)]
        assert all(-PACKET_S - 0.001 <= s <= 1 / FPS + 0.001 for s in early), (wanted, shown)


@BY_CASE
def test_gstreamer_decodes_every_picture_that_was_sent_at_its_time(goldens, gstreamer, case):
    paths = goldens[case].paths
    for part, path in enumerate(paths):
        decoded = gstreamer[path]

        assert decoded.complaints == []
        assert len(decoded.pictures_ns) == len(case.numbers) / len(paths)
        assert bool(decoded.sounds_ns) == (case.sound is not None)
        assert decoded.sizes == sizes_of(case, part, len(paths))
    if case.event == HOLE and case.video:
        steps_s = [(after - before) / 1e9 for before, after in itertools.pairwise(decoded.pictures_ns)]
        # hlsdemux takes the hole out of a playlist of transport streams and leaves it in one of fMP4.
        lost_s = 0 if case.container is Container.TS else LOST_S[1] - LOST_S[0]
        assert max(steps_s) == pytest.approx(lost_s + 1 / FPS, abs=0.04)


def test_every_container_of_the_matrix_is_played():
    assert {case.container for case in CASES} == set(Container)
    assert {case.container for case in CASES if case.event == HOLE} == set(Container) > SEGMENTED
