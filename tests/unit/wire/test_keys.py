"""Object keys say what the rule asked for and never leave their folder."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jobs import a_job

from soloist.model.errors import InvalidValueError
from soloist.model.rule import DEFAULT_PREFIX, RecordFormat
from soloist.wire.keys import check_length, check_prefix, object_key, render_prefix

AT = datetime(2026, 11, 22, 12, 0, 5, tzinfo=UTC)


def test_the_default_prefix_names_app_format_stream_and_time():
    key = render_prefix(DEFAULT_PREFIX, a_job(job_id="j" * 32), RecordFormat.MP4, AT)

    stream = f"s_{'j' * 32}_room1_alice"
    assert key == f"demo/mp4/{stream}_2026-11-22-12-00-05/{stream}_2026-11-22-12-00-05"


def test_times_in_names_are_utc_whatever_the_zone():
    east = AT.astimezone(timezone(timedelta(hours=8)))
    assert render_prefix("{file_start_time}", a_job(), RecordFormat.MP4, east) == "2026-11-22-12-00-05"


@pytest.mark.parametrize(
    "template", ["{nope}", "a/../b", "/a", "a//b", "a/", "{stream", "stream}", "a\nb", "a\\b", "..", "{}", "a/./b"]
)
def test_templates_that_could_leave_the_folder_are_refused_by_name(template):
    with pytest.raises(InvalidValueError, match="record_prefix"):
        check_prefix(template)


@given(st.text(max_size=60))
def test_any_accepted_template_renders_to_a_path_inside(template):
    try:
        check_prefix(template)
    except InvalidValueError:
        return
    key = object_key("Record/", render_prefix(template, a_job(), RecordFormat.MP4, AT))
    assert key.startswith("Record/")
    assert not {"", ".", ".."} & set(key.split("/"))


@pytest.mark.parametrize(
    ("folder", "key"), [("", "p"), ("Record", "Record/p"), ("Record/", "Record/p"), ("a/b/", "a/b/p")]
)
def test_the_folder_is_joined_by_exactly_one_slash(folder, key):
    assert object_key(folder, "p") == key


def test_collisions_count_up():
    assert [object_key("", "p", n) for n in range(3)] == ["p", "p_1", "p_2"]


def test_a_key_longer_than_stores_allow_is_refused():
    with pytest.raises(InvalidValueError, match="shorten"):
        object_key("", "x" * 300)


@pytest.mark.parametrize("template", ["x" * 300, "x/" * 449 + "x", "{stream}_{stream}"])
def test_a_prefix_whose_keys_can_get_too_long_is_refused_before_anything_is_recorded(template):
    check_length("Record/", DEFAULT_PREFIX, "a" * 64)

    with pytest.raises(InvalidValueError, match=r"record_prefix.*shorten"):
        check_length("Record/", check_prefix(template), "demo")
