"""Every setting, every command and every option is in the documents."""

import inspect
import re
from pathlib import Path

import pytest
import typer

from soloist import cli
from soloist.service.settings import Settings

DOCS = Path(__file__).parents[2] / "docs"
SETTINGS = (DOCS / "settings.md").read_text(encoding="utf-8")
COMMANDS = (DOCS / "commands.md").read_text(encoding="utf-8")


def options_of(command):
    return [f"--{name.replace('_', '-')}" for name in inspect.signature(command).parameters]


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_documented_with_its_variable(name):
    assert f"| `SOLOIST_{name.upper()}` |" in SETTINGS


@pytest.mark.parametrize("option", options_of(cli.serve))
def test_every_option_of_serve_is_documented(option):
    assert f"`{option}`" in SETTINGS


def commands(group=None, path=("soloist",)):
    """Yield every command as a person types it, and what it takes."""
    for name, command in (group or typer.main.get_command(cli.app)).commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command.params


@pytest.mark.parametrize(("command", "parameters"), list(commands()), ids=lambda value: str(value)[:40])
def test_every_command_is_documented_with_its_options(command, parameters):
    row = re.search(rf"^\| `{command}[ `].*$", COMMANDS, re.MULTILINE)

    assert row, f"{command} has no row in docs/commands.md"
    assert [option for parameter in parameters for option in parameter.opts if f"`{option}`" not in row[0]] == [
        parameter.name for parameter in parameters if parameter.param_type_name == "argument"
    ], f"options of {command} that docs/commands.md does not name"


@pytest.mark.parametrize("command", re.findall(r"^\| `(soloist [^`]*)`", COMMANDS, re.MULTILINE))
def test_every_command_that_is_documented_is_there(command):
    assert any(command == name or command.startswith(f"{name} ") for name, _ in commands())
