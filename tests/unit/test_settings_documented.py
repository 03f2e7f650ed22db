"""Every setting and every option of `serve` is in the documents."""

import inspect
from pathlib import Path

import pytest

from soloist import cli
from soloist.service.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
SETTINGS = (DOCS / "settings.md").read_text(encoding="utf-8")
PRODUCTION = (DOCS / "production.md").read_text(encoding="utf-8")


def options_of(command):
    return [f"--{name.replace('_', '-')}" for name in inspect.signature(command).parameters]


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented_with_its_variable(name):
    assert f"| `SOLOIST_{name.upper()}` |" in SETTINGS


@pytest.mark.parametrize("option", options_of(cli.serve))
def test_every_option_of_serve_is_documented(option):
    assert f"`{option}`" in SETTINGS


@pytest.mark.parametrize("option", [name.replace("--app-id", "--app") for name in options_of(cli.create_rule)])
def test_every_option_of_rule_create_is_documented(option):
    assert option in PRODUCTION
