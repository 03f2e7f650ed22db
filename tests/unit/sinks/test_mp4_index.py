"""The index that ends a recording also repairs what a killed process left, wherever it was cut."""

import random
import struct
from fractions import Fraction
from pathlib import Path

import av
import pytest
from support.media import interleaved, opus_format, opus_samples, video_format, video_samples
from support.mp4_boxes import read_boxes

from soloist.model.errors import InternalError
from soloist.model.media import Codec
from soloist.sinks.boxes import children
from soloist.sinks.mp4 import Mp4Sink
from soloist.sinks.mp4_index import write_index


@pytest.fixture
def fragmented(tmp_path: Path) -> Path:
    """A file of four fragments, as a killed process leaves it."""
    video, audio = video_samples(Codec.H264, 4), opus_samples(4)
    sink = Mp4Sink(tmp_path / "a.mp4", video=video_format(Codec.H264, video), audio=opus_format(), start=Fraction(0))
    for sample in interleaved(video, audio):
        sink.push(sample)
    sink.abort()
    return sink.path


def decoded_frames(path: Path) -> int:
    with av.open(str(path)) as container:
        return sum(1 for _ in container.decode(video=0))


def test_indexing_twice_changes_nothing(fragmented):
    write_index(fragmented)
    once = fragmented.read_bytes()

    write_index(fragmented)

    assert fragmented.read_bytes() == once


def test_media_bytes_stay_where_they_were(fragmented):
    before = fragmented.read_bytes()
    old = read_boxes(fragmented)

    write_index(fragmented)

    after, new = fragmented.read_bytes(), read_boxes(fragmented)
    for was, track in zip(old.tracks, new.tracks, strict=True):
        assert (track.sizes, track.offsets, track.durations) == (was.sizes, was.offsets, was.durations)
    first = min(offset for track in new.tracks for offset in track.offsets)
    assert after[first : len(before)] == before[first:]


def test_index_half_written_when_the_process_died_is_written_anew(fragmented):
    whole = fragmented.read_bytes()
    write_index(fragmented)
    finished = fragmented.read_bytes()

    for extra in (b"", b"\0\0", finished[len(whole) :], finished[len(whole) : len(whole) + 500]):
        fragmented.write_bytes(whole + extra)
        write_index(fragmented)
        assert fragmented.read_bytes() == finished


def test_file_cut_at_any_byte_keeps_every_whole_fragment(fragmented):
    whole = fragmented.read_bytes()
    ends = [box.end for box in children(whole, 0, len(whole)) if box.kind == b"mdat"]
    frames = []
    for end in ends:
        fragmented.write_bytes(whole[:end])
        frames.append(len(read_boxes(fragmented).track("vide").sizes))

    seed = random.randrange(2**32)
    print(f"seed {seed}")
    header_end = next(box.end for box in children(whole, 0, len(whole)) if box.kind == b"moov")
    for cut in random.Random(seed).sample(range(header_end, len(whole)), 25):
        fragmented.write_bytes(whole[:cut])
        write_index(fragmented)
        kept = [count for end, count in zip(ends, frames, strict=True) if end <= cut]
        assert len(read_boxes(fragmented).track("vide").sizes) == (kept[-1] if kept else 0)
        assert not kept or decoded_frames(fragmented) == kept[-1]


@pytest.mark.parametrize(("at", "length"), [(0, 4), (4, 4), (8, 500), (0, 4096)], ids=["size", "kind", "body", "page"])
def test_a_fragment_the_disk_damaged_costs_only_itself(fragmented, at, length):
    whole = fragmented.read_bytes()
    moofs = [box for box in children(whole, 0, len(whole)) if box.kind == b"moof"]
    frames = len(read_boxes(fragmented).track("vide").sizes)
    damaged = moofs[1].start + at
    fragmented.write_bytes(whole[:damaged] + bytes(length) + whole[damaged + length :])

    write_index(fragmented)

    assert frames - 40 < len(read_boxes(fragmented).track("vide").sizes) < frames
    assert whole[moofs[2].start :] in fragmented.read_bytes()
    assert decoded_frames(fragmented) > frames - 40


@pytest.mark.parametrize("size", [0, 7, 28, 500])
def test_file_without_a_whole_header_is_refused(fragmented, size):
    fragmented.write_bytes(fragmented.read_bytes()[:size])

    with pytest.raises(InternalError, match="no whole header"):
        write_index(fragmented)


@pytest.mark.parametrize("data", [b"\0" * 100, b"not a media file at all", struct.pack(">I4s", 8, b"moov") * 3])
def test_foreign_bytes_are_refused_not_followed(tmp_path, data):
    path = tmp_path / "a.mp4"
    path.write_bytes(data)

    with pytest.raises(InternalError):
        write_index(path)


def test_file_over_four_gigabytes_gets_wide_sizes_and_offsets(fragmented):
    data = fragmented.read_bytes()
    boxes = list(children(data, 0, len(data)))
    moof = next(box for box in boxes if box.kind == b"moof")
    mdat = next(box for box in boxes if box.kind == b"mdat")
    fragment, huge = data[moof.start : mdat.end], 2**32 + 1000
    with fragmented.open("wb") as file:
        file.write(data[: moof.start] + fragment)
        file.write(data[moof.start : moof.end] + struct.pack(">I4sQ", 1, b"mdat", huge))
        file.seek(huge - 16, 1)
        file.write(fragment)

    write_index(fragmented)

    with fragmented.open("rb") as file:
        file.seek(28)
        size, kind, wide = struct.unpack(">I4sQ", file.read(16))
        file.seek(28 + wide)
        moov = file.read()
    assert (size, kind, moov[4:8]) == (1, b"mdat", b"moov")
    assert moov.count(b"co64") == 2
    at = moov.index(b"co64") + 8
    (count,) = struct.unpack_from(">I", moov, at)
    offsets = struct.unpack_from(f">{count}Q", moov, at + 4)
    assert offsets[-1] - offsets[0] == 2 * len(fragment) - len(fragment) + (moof.end - moof.start) + huge
