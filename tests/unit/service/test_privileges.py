"""Where root cannot become another user, as in containers that take its capabilities, the service starts as it is."""

import os

import pytest
import structlog

from soloist.service import privileges
from soloist.service.errors import StartError
from soloist.service.privileges import CAPABILITIES, NEEDED, child_launcher
from soloist.service.settings import Settings


@pytest.fixture
def as_root(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(privileges, "_hand_over", lambda *_: pytest.fail("nothing is given away in vain"))
    monkeypatch.setattr(privileges, "_account", lambda _: privileges.Account(65534, 65534))
    return tmp_path


@pytest.mark.parametrize("lacking", NEEDED)
def test_a_root_that_cannot_become_another_user_stays_root_and_says_what_it_lacks(monkeypatch, as_root, lacking):
    held = frozenset(CAPABILITIES.values()) - {CAPABILITIES[lacking]}
    monkeypatch.setattr(privileges, "_own_capabilities", lambda: held)

    with structlog.testing.capture_logs() as lines:
        assert child_launcher(Settings(data=as_root)) == []
    with pytest.raises(StartError, match=rf"lacks {lacking} .*SOLOIST_RUN_AS=root"):
        child_launcher(Settings(data=as_root, run_as="soloist"))

    [line] = lines
    assert line["event"] == "runs_as_root"
    assert lacking in line["reason"]


def test_a_system_that_does_not_let_folders_be_given_away_is_no_reason_not_to_start(monkeypatch, as_root):
    def refused(*_):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(privileges, "_own_capabilities", lambda: frozenset(CAPABILITIES.values()))
    monkeypatch.setattr(privileges, "_hand_over", refused)

    with structlog.testing.capture_logs() as lines:
        assert child_launcher(Settings(data=as_root)) == []
    with pytest.raises(StartError, match="Invalid argument"):
        child_launcher(Settings(data=as_root, run_as="soloist"))

    assert [line["event"] for line in lines] == ["runs_as_root"]
