"""A record rule made on the command line is held to the ranges of the API."""

import pytest

from soloist.model.errors import InvalidValueError
from soloist.model.ids import ProjectId
from soloist.model.rule import DEFAULT_PREFIX, AudioMode
from soloist.service.rules import RuleChoice, check_rule

ACME = ProjectId("acme")


def a_choice(**changes):
    return RuleChoice(**({"app_id": "shop", "location": "cn-north-4", "bucket": "recordings"} | changes))


def test_a_rule_needs_no_more_than_app_and_bucket():
    rule = check_rule(a_choice(), ACME)
    assert (rule.mp4.record_cycle_s, rule.mp4.merge_gap_s, rule.mp4.prefix) == (3600, 300, DEFAULT_PREFIX)
    assert (rule.address.project_id, rule.address.object, rule.audio) == (ACME, "", AudioMode.AAC)


def test_ends_of_the_ranges_are_taken():
    assert check_rule(a_choice(cycle_s=60, merge_gap_s=0, audio="copy"), ACME).audio is AudioMode.COPY
    assert check_rule(a_choice(cycle_s=10800, merge_gap_s=300, folder="a/b/"), ACME).address.object == "a/b"


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"cycle_s": 59}, "--cycle is 60 to 10800"),
        ({"cycle_s": 10801}, "--cycle"),
        ({"merge_gap_s": -1}, "--merge-gap is 0 to 300"),
        ({"merge_gap_s": 301}, "--merge-gap"),
        ({"prefix": ""}, "--prefix is 1 to 512"),
        ({"prefix": "{user}"}, "--prefix: {user} is not a variable"),
        ({"prefix": "a/../b"}, "--prefix"),
        ({"prefix": "x" * 300}, "--prefix: the object key can get too long"),
        ({"bucket": "No"}, "bucket must be"),
        ({"folder": "../up"}, "no empty, . or .. segments"),
        ({"folder": "/"}, "no empty, . or .. segments"),
        ({"location": ""}, "--location"),
        ({"audio": "mp3"}, "--audio is one of aac, copy"),
    ],
)
def test_a_rule_outside_its_ranges_is_refused_by_the_options_name(changes, names):
    with pytest.raises(InvalidValueError, match=names):
        check_rule(a_choice(**changes), ACME)
