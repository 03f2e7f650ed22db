"""What the core had no room for is told in every manifest it touches, and only there, as our fault."""

import json

import pytest
from support.filed import Desk
from support.frames import NS, START_NS
from support.jobs import a_job, a_rule
from support.media import opus_samples, video_samples
from support.session_items import OverflowValue
from support.stage import a_publisher, frames_of, merged

from soloist.model.media import Codec, Tier
from soloist.model.rule import HlsConfig, Mp4Config, RecordFormat

pytestmark = pytest.mark.anyio

SECONDS = 4


def both(codec=Codec.H264, **kwargs):
    """Return a few seconds of sound and picture, keyframes once a second."""
    pictures = frames_of(video_samples(codec, SECONDS, gop=30), codec, **kwargs)
    return merged(pictures, frames_of(opus_samples(SECONDS), Codec.OPUS, rtp_zero=7))


def dropping(frames, *spans):
    """Return frames with those that arrive between moments, seconds, given up as the core does."""
    kept, dropped = [], {}
    for frame in frames:
        at_s = (frame.received_ns - START_NS) / NS
        layer = (frame.mid, frame.rid)
        if any(since <= at_s < until for since, until in spans):
            dropped[layer] = dropped.get(layer, 0) + 1
        elif layer in dropped and frame.mid == "1" and not frame.is_keyframe:
            dropped[layer] += 1
        else:
            if layer in dropped:
                kept.append(OverflowValue(*layer, dropped.pop(layer)))
                frame = frame.but(follows_gap=True)  # noqa: PLW2901 - as the core says it
            kept.append(frame)
    return kept + [OverflowValue(*layer, count) for layer, count in dropped.items()]


async def record(folder, items, *, publisher=None, job=None):
    """Record items in batches, as they come; return the desk once everything is filed."""
    desk = Desk(folder, job or a_job())
    desk.publisher = publisher or a_publisher()
    desk.stage.recording.on_attached(desk.publisher)
    for at in range(0, len(items), 5):
        batch = items[at : at + 5]
        for item in batch:
            desk.publisher.on_items([item])
            desk.stage.now_ns = max(desk.stage.now_ns, getattr(item, "received_ns", 0))
        desk.stage.recording.on_items(desk.publisher, batch)
        desk.stage.recording.on_tick(desk.stage.now_ns)
    desk.stage.now_ns = START_NS + SECONDS * NS
    desk.stage.recording.on_tick(desk.stage.now_ns)
    await desk.finish()
    assert desk.failures == []
    return desk


def manifests(desk):
    """Return what each manifest says is missing as (kind, start, end in seconds), of our faults; others are none."""
    found = []
    for key, path in sorted(desk.objects.items()):
        if key.endswith(".json"):
            manifest = json.loads(path.read_text())
            assert all(m["cause"] == "fault" and m["detail"] == "overload" for m in manifest["missing"]), manifest
            shift_s = (int(manifest["origin"]["unix_ns"]) - START_NS) / NS
            found.append(
                sorted(
                    (m["kind"], m["start_ns"] / NS + shift_s, m["end_ns"] / NS + shift_s) for m in manifest["missing"]
                )
            )
    return found


def stretch(kind, start_s, end_s):
    return (kind, pytest.approx(start_s, abs=0.1), pytest.approx(end_s, abs=0.1))


@pytest.mark.parametrize("codec", [Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1])
@pytest.mark.parametrize("wanted", [RecordFormat.MP4, RecordFormat.HLS])
async def test_what_was_dropped_in_the_middle_is_declared(tmp_path, codec, wanted):
    job = a_job(rule=a_rule(formats=(wanted,)))
    desk = await record(tmp_path, dropping(both(codec), (1.5, 1.8)), publisher=a_publisher(codec=codec), job=job)

    assert manifests(desk) == [[stretch("audio", 1.5, 1.8), stretch("video", 1.5, 2.0)]]


@pytest.mark.parametrize("wanted", [RecordFormat.MP4, RecordFormat.HLS])
async def test_what_was_dropped_at_the_end_is_declared_although_nothing_follows(tmp_path, wanted):
    desk = await record(tmp_path, dropping(both(), (2.5, 9)), job=a_job(rule=a_rule(formats=(wanted,))))

    assert manifests(desk) == [[stretch("audio", 2.5, 4.0), stretch("video", 2.5, 4.0)]]


@pytest.mark.parametrize("wanted", [RecordFormat.MP4, RecordFormat.HLS])
async def test_what_was_dropped_before_anything_was_kept_is_declared(tmp_path, wanted):
    desk = await record(tmp_path, dropping(both(), (0, 0.7)), job=a_job(rule=a_rule(formats=(wanted,))))

    ((audio, video),) = manifests(desk)
    assert audio == stretch("audio", audio[1], 0.7)
    assert video == stretch("video", video[1], 1.0)
    assert audio[1] < 0.7
    assert video[1] < 0.7


async def test_pictures_dropped_to_the_end_are_declared_beside_sound_that_goes_on(tmp_path):
    sound = [frame for frame in both() if frame.mid == "0"]
    pictures = dropping([frame for frame in both() if frame.mid == "1"], (2.5, 9))
    desk = await record(tmp_path, merged_items(pictures, sound))

    assert manifests(desk) == [[stretch("video", 2.5, 4.0)]]


async def test_a_publisher_that_ends_after_a_drop_leaves_it_declared_and_the_absence_is_its_own(tmp_path):
    desk = Desk(tmp_path, a_job(rule=a_rule(mp4=Mp4Config(0, merge_gap_s=60))))
    publisher = a_publisher()
    desk.stage.recording.on_attached(publisher)
    desk.stage.recording.on_items(publisher, dropping(both(), (2.5, 9)))
    desk.stage.recording.on_tick(START_NS + 4 * NS)
    desk.stage.recording.on_detached(publisher, "left")
    desk.stage.recording.on_tick(START_NS + 9 * NS)
    again = a_publisher(2)
    desk.stage.recording.on_attached(again)
    desk.stage.recording.on_items(again, [f.but(received_ns=f.received_ns + 10 * NS) for f in both()])
    await desk.finish()

    (manifest,) = [json.loads(path.read_text()) for key, path in desk.objects.items() if key.endswith(".json")]
    told = [(m["kind"], round(m["start_ns"] / NS, 1), round(m["end_ns"] / NS), m["cause"]) for m in manifest["missing"]]
    assert sorted(told) == [
        ("audio", 2.5, 4, "fault"),
        ("audio", 4, 10, "idle"),
        ("video", 2.5, 4, "fault"),
        ("video", 4, 10, "idle"),
    ]


async def test_a_drop_across_the_cut_of_a_file_is_in_both_manifests(tmp_path):
    rule = a_rule(mp4=Mp4Config(2), formats=(RecordFormat.MP4,))
    desk = await record(tmp_path, dropping(both(), (1.8, 2.6)), job=a_job(rule=rule))

    first, second = manifests(desk)
    assert stretch("video", 1.8, 3.0) in first
    assert stretch("video", 1.8, 3.0) in second


async def test_both_formats_of_a_job_declare_it(tmp_path):
    rule = a_rule(formats=(RecordFormat.MP4, RecordFormat.HLS), hls=HlsConfig(0))
    desk = await record(tmp_path, dropping(both(), (1.5, 1.8)), job=a_job(rule=rule))

    assert manifests(desk) == [[stretch("audio", 1.5, 1.8), stretch("video", 1.5, 2.0)]] * 2


def layers():
    """Return the pictures of two simulcast layers, keyframes once a second."""
    sizes = {"q": (160, 90), "f": (640, 360)}
    return {
        rid: frames_of(video_samples(Codec.H264, SECONDS, width=size[0], height=size[1], gop=30), size=size, rid=rid)
        for rid, size in sizes.items()
    }


@pytest.mark.parametrize(("rid", "told"), [("q", []), ("f", [("video", 1.5, 2.0)])])
async def test_only_drops_of_the_recorded_layer_are_losses(tmp_path, rid, told):
    sent = layers()
    sent[rid] = dropping(sent[rid], (1.5, 1.8))
    sound = frames_of(opus_samples(SECONDS), Codec.OPUS, rtp_zero=7)
    whole = next(frames for other, frames in layers().items() if other != rid)
    desk = await record(
        tmp_path,
        merged_items(sent[rid], merged(whole, sound)),
        publisher=a_publisher(rids=("q", "f")),
        job=a_job(tier=Tier.FHD),
    )

    assert manifests(desk) == [[stretch(*hole) for hole in told]]


def merged_items(items, frames):
    """Return items with frames of another track among them, by arrival."""
    merged_in, rest = [], list(frames)
    for item in items:
        while rest and hasattr(item, "received_ns") and rest[0].received_ns <= item.received_ns:
            merged_in.append(rest.pop(0))
        merged_in.append(item)
    return merged_in + rest
