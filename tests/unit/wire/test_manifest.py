"""What is rendered is what the documentation and the schema promise."""

import json
import re
from dataclasses import replace
from decimal import Decimal
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from soloist.model.media import Codec, Kind, Tier, TrackSource
from soloist.model.rule import RecordFormat
from soloist.model.timing import Cause, Missing
from soloist.wire.manifest import (
    ClockMapping,
    LayerSpan,
    Manifest,
    ManifestFile,
    ManifestJob,
    ManifestSegment,
    ManifestTrack,
    render_manifest,
)

DOCS = Path(__file__).parents[3] / "docs"
SCHEMA = json.loads((DOCS / "manifest.schema.json").read_text())
NS = 1_000_000_000
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}


def faults(value: Any, schema: dict[str, Any], at: str = "$") -> list[str]:
    """Return where `value` breaks `schema`: the part of JSON Schema our schema uses, and no property undeclared."""
    if "$ref" in schema:
        return faults(value, SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]], at)
    allowed = schema.get("type", [])
    names = [allowed] if isinstance(allowed, str) else allowed
    if names and not any(value is None if n == "null" else isinstance(value, TYPES[n]) for n in names):
        return [f"{at}: not {names}"]
    found = []
    if "const" in schema and value != schema["const"]:
        found.append(f"{at}: not {schema['const']}")
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: {value} is not in the enum")
    if "minimum" in schema and value < schema["minimum"]:
        found.append(f"{at}: too small")
    if "pattern" in schema and not re.search(schema["pattern"], value):
        found.append(f"{at}: {value} does not match")
    if isinstance(value, dict):
        properties = schema["properties"]
        found += [f"{at}: lacks {name}" for name in schema.get("required", []) if name not in value]
        for name, item in value.items():
            declared = properties.get(name, schema.get("additionalProperties"))
            found += faults(item, declared, f"{at}.{name}") if declared else [f"{at}: {name} undeclared"]
    if isinstance(value, list):
        found += [
            fault for index, item in enumerate(value) for fault in faults(item, schema["items"], f"{at}[{index}]")
        ]
    return found


@pytest.fixture
def manifest() -> Manifest:
    clock = ClockMapping(0, "sender_report", 4_294_967_296 + 90_000, 90_000, -12.34567)
    return Manifest(
        job=ManifestJob("j1", 2, "demo", "r", "u", "s_j1_r_u", True, TrackSource.CAMERA, Tier.FHD),
        origin_ns=1_700_000_000 * NS + 123_456_789,
        tracks=(
            ManifestTrack(
                Kind.VIDEO,
                Codec.H264,
                transcoded=False,
                clocks=(clock, replace(clock, start_ns=5 * NS, source="arrival")),
                layers=(LayerSpan(0, "h", 640, 360), LayerSpan(3 * NS, None, 1280, 720)),
            ),
            ManifestTrack(Kind.AUDIO, Codec.AAC, transcoded=True, channels=1),
        ),
        missing=tuple(Missing(Kind.AUDIO, i * NS, i * NS + 5, cause, "why") for i, cause in enumerate(Cause)),
        files=(
            ManifestFile("a/b.mp4", RecordFormat.MP4, 10, "0" * 64, NS, 3 * NS, {Kind.VIDEO: 60, Kind.AUDIO: 100}),
            ManifestFile("a/ü.webm", RecordFormat.WEBM, 0, "f" * 64, 3 * NS, 3 * NS, note="VP8"),
            ManifestFile(
                "a/b.m3u8",
                RecordFormat.HLS,
                30,
                "a" * 64,
                NS,
                3 * NS,
                segments=(ManifestSegment("a/b_00000.ts", 20, "b" * 64, NS, 2 * NS),),
            ),
        ),
    )


def test_manifest_follows_its_schema(manifest):
    assert faults(json.loads(render_manifest(manifest)), SCHEMA) == []


def test_audio_only_manifest_follows_its_schema(manifest):
    job = replace(manifest.job, video=None)
    bare = replace(manifest, job=job, tracks=manifest.tracks[1:], missing=(), files=())

    assert faults(json.loads(render_manifest(bare)), SCHEMA) == []


def test_schema_check_itself_finds_faults(manifest):
    body = json.loads(render_manifest(manifest))
    body["files"][0]["sha256"] = "short"
    body["files"][0]["extra"] = 1
    del body["job"]["epoch"]

    assert len(faults(body, SCHEMA)) == 3


def test_moments_keep_every_nanosecond(manifest):
    body = json.loads(render_manifest(manifest))

    assert body["origin"] == {"at": "2023-11-14T22:13:20.123456789Z", "unix_ns": "1700000000123456789"}
    assert body["files"][0]["start_at"] == "2023-11-14T22:13:21.123456789Z"
    assert body["missing"][1]["start_at"] == "2023-11-14T22:13:21.123456789Z"


def test_file_states_frames_and_duration_per_track(manifest):
    file = json.loads(render_manifest(manifest))["files"][0]

    assert (file["duration_ns"], file["frames"]) == (2 * NS, {"video": 60, "audio": 100})


def test_track_says_whether_it_was_transcoded(manifest):
    tracks = json.loads(render_manifest(manifest))["tracks"]

    assert [(track["codec"], track["transcoded"]) for track in tracks] == [("h264", False), ("aac", True)]


def test_same_recording_renders_to_the_same_text(manifest):
    text = render_manifest(manifest)

    assert text == render_manifest(manifest)
    assert text.endswith("}\n")
    assert "ü" in text


def test_every_field_is_documented():
    text = (DOCS / "manifest.md").read_text()
    parts = [SCHEMA, *SCHEMA["properties"].values(), *SCHEMA["$defs"].values()]
    names = {name for part in parts for name in part.get("properties", {})}

    assert [name for name in sorted(names) if f"`{name}" not in text and f"{name}`" not in text] == []


@given(
    starts_ns=st.lists(st.integers(0, 90 * NS), min_size=1, max_size=6, unique=True),
    holes=st.lists(st.tuples(st.integers(0, 100 * NS), st.integers(0, 20 * NS)), max_size=5),
    end_ns=st.integers(90 * NS, 100 * NS),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_layer_seconds_are_together_the_time_of_the_pictures_to_the_nanosecond(manifest, starts_ns, holes, end_ns):
    layers = tuple(
        LayerSpan(start_ns, rid, 640, 360)
        for start_ns, rid in zip(sorted(starts_ns), cycle(["q", "f", None]), strict=False)
    )
    track = replace(manifest.tracks[0], layers=layers, end_ns=end_ns)
    missing = tuple(Missing(Kind.VIDEO, at, at + length, Cause.PAUSE, "not_sent") for at, length in holes)
    text = render_manifest(replace(manifest, tracks=(track,), missing=missing))

    told = json.loads(text, parse_float=Decimal)["tracks"][0]["layer_seconds"]
    marks = sorted({layers[0].start_ns, end_ns, *(edge for hole in missing for edge in (hole.start_ns, hole.end_ns))})
    media_ns = sum(
        until - since
        for since, until in pairwise(marks)
        if layers[0].start_ns <= since < end_ns and not any(hole.start_ns <= since < hole.end_ns for hole in missing)
    )
    assert sum(told.values()) * NS == media_ns
    assert set(told) == {layer.rid or "" for layer in layers}
