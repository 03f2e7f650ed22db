"""What a project was granted: no spelling of a key, a folder or a list's prefix leads out of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import a_rule

from soloist.model.errors import InvalidValueError
from soloist.model.rule import HlsConfig, Mp4Config, StorageAddress
from soloist.storage.bucket import check_key
from soloist.wire.granted import EVERY_BUCKET, Grant, Reach, folders_of_rule, is_below, is_within, reached_by

FOLDER = "acme/shop"
NOT_BELOW = [
    "",
    "acme",
    "acme/",
    "acme/shop2/a.mp4",
    "acme/shopping",
    "acme/Shop/a.mp4",
    "acme//shop/a.mp4",
    "/acme/shop/a.mp4",
    "other/acme/shop/a.mp4",
    "acme\u2215shop/a.mp4",  # a division slash
    "acme/s\u200bhop/a.mp4",  # a zero-width space
    "acme/ｓhop/a.mp4",  # noqa: RUF001 - a full-width letter
    "acme%2Fshop/a.mp4",
]


@pytest.mark.parametrize("key", NOT_BELOW)
def test_a_key_that_only_looks_like_one_of_the_folder_is_not_below_it(key):
    assert not is_below(key, FOLDER)
    assert not Reach((Grant("here", "recordings", FOLDER),)).holds("here", "recordings", key)


@pytest.mark.parametrize("key", ["acme/shop/../../other/a.mp4", "acme/shop/./a.mp4", "acme/shop//a.mp4", "acme/shop/"])
def test_a_key_that_leaves_its_folder_by_dots_or_empty_segments_is_no_key(key):
    with pytest.raises(InvalidValueError):
        check_key(key)


def test_what_is_below_the_folder_is_granted_there_and_nowhere_else():
    reach = Reach((Grant("here", "recordings", FOLDER),))
    assert reach.holds("here", "recordings", "acme/shop/a.mp4")
    assert not reach.holds("here", "recordings2", "acme/shop/a.mp4")
    assert not reach.holds("there", "recordings", "acme/shop/a.mp4")
    assert Reach().folders("here", "recordings") == ()


def test_every_bucket_leaves_out_those_that_others_were_granted_by_name():
    reach = Reach((Grant("here", EVERY_BUCKET), Grant("here", "shared", "mine")), frozenset({("here", "shared")}))
    assert reach.folders("here", "free") == ("",)
    assert reach.folders("here", "shared") == ("mine",)
    assert reach.folders("there", "free") == ()


def test_a_folder_within_a_granted_one_adds_nothing():
    reach = Reach((Grant("here", "b", "a"), Grant("here", "b", "a/b"), Grant("here", "b", "ab")))
    assert reach.folders("here", "b") == ("a", "ab")


@pytest.mark.parametrize(
    ("folder", "prefix", "certain"),
    [
        ("", "{app_id}/{stream}", ("demo",)),
        ("", "{stream}", ("",)),
        ("", "acme/{stream}", ("acme",)),
        ("", "acme{stream}", ("",)),
        ("acme/", "{app_id}_x/{stream}", ("acme/demo_x",)),
        ("acme", "a/b/{record_format}/c", ("acme/a/b",)),
        ("acme", "name", ("acme",)),
    ],
)
def test_the_folders_of_a_rule_are_as_deep_as_its_keys_are_certain(folder, prefix, certain):
    rule = a_rule(
        address=StorageAddress("here", "dev", "recordings", folder), mp4=Mp4Config(60, prefix=prefix), hls=None
    )
    assert folders_of_rule(rule) == certain


def test_both_templates_of_a_rule_count():
    rule = a_rule(
        address=StorageAddress("here", "dev", "recordings", "a"),
        mp4=Mp4Config(60, prefix="mp4/{stream}"),
        hls=HlsConfig(0, prefix="hls/{stream}"),
    )
    assert folders_of_rule(rule) == ("a/mp4", "a/hls")


@given(prefix=st.text(alphabet="acme/shop.%", max_size=14))
def test_no_prefix_of_a_list_shows_anything_that_is_not_granted(prefix):
    if is_within(prefix, [FOLDER]):
        assert is_below(prefix.removesuffix("/"), FOLDER) or prefix.startswith(f"{FOLDER}/")
    else:
        assert all(shown == f"{FOLDER}/" and shown.startswith(prefix) for shown in reached_by(prefix, [FOLDER]))
