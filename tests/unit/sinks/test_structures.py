"""A muxer that is upgraded and lays files out differently is noticed here, before a customer's player does (rule R22).

`python -m support.structure`, in `tests/`, writes the descriptions anew; do that only after looking at what changed and
after `tests/e2e/test_golden_files.py`, which plays the same files, has passed.
"""

from dataclasses import replace

import pytest
from support.goldens import cases, record
from support.structure import GOLDEN, describe

CASES = {case.name: case for case in cases()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("goldens")


@pytest.mark.parametrize("name", CASES)
def test_what_a_file_is_made_of_has_not_changed(folder, name):
    assert describe(record(CASES[name], folder)) == (GOLDEN / f"{name}.txt").read_text()


def test_every_description_is_of_something_the_matrix_offers():
    assert {path.stem for path in GOLDEN.iterdir()} == CASES.keys()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("mp4-h264-aac-plain", (b"smhd", b"nmhd")),
        ("mp4-h264-aac-plain", (b"elst\0\0\0\0\0\0\0\2\0\0\7\x08", b"elst\0\0\0\0\0\0\0\2\0\0\0\0")),
        ("webm-vp8-opus-plain", (b"\x1c\x53\xbb\x6b", b"\x1c\x53\xbb\x6c")),
        ("ts-h264-aac-plain", (b"\x47\x41\x00", b"\x47\x41\x01")),
    ],
)
def test_another_box_edit_index_or_stream_number_is_seen(folder, tmp_path, name, change):
    golden = record(CASES[name], folder)
    for path in (path for path in golden.folder.iterdir() if path.suffix != ".json"):
        (tmp_path / path.name).write_bytes(path.read_bytes().replace(*change))

    assert describe(replace(golden, folder=tmp_path)) != describe(golden)
