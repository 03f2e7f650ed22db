"""What commands share: reading the settings, working on the database, and telling faults in one sentence."""

import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

if TYPE_CHECKING:
    from soloist.service.settings import Settings

Data = Annotated[Path | None, typer.Option(help="Data folder. [dim]Default: /var/lib/soloist as root.[/dim]")]
Project = Annotated[str, typer.Option(help="Project id.")]
AnyProject = Annotated[str | None, typer.Option("--project", help="Only of this project.")]


def read_settings(**chosen: object) -> "Settings":
    """Return the settings of the environment, with what was given as options put over them."""
    from pydantic import ValidationError  # noqa: PLC0415 - see cli/__init__.py
    from pydantic_settings import SettingsError  # noqa: PLC0415 - see cli/__init__.py

    from soloist.service.settings import Settings, unreadable  # noqa: PLC0415 - see cli/__init__.py

    try:
        return Settings(**{name: value for name, value in chosen.items() if value is not None})  # type: ignore[arg-type]
    except SettingsError as error:
        complain(unreadable(str(error)))
    except ValidationError as error:
        faults = "; ".join(
            ": ".join([*(f"SOLOIST_{str(name).upper()}" for name in fault["loc"][:1]), fault["msg"]])
            for fault in error.errors()
        )
        complain(faults)


def run_process(work: Coroutine[Any, Any, None], settings: "Settings", process: str) -> None:
    """Run a long-lived process to its end."""
    import uvloop  # noqa: PLC0415 - see cli/__init__.py

    from soloist.model.errors import SoloistError  # noqa: PLC0415 - see cli/__init__.py
    from soloist.service.errors import StartError  # noqa: PLC0415 - see cli/__init__.py
    from soloist.service.logs import configure_logs  # noqa: PLC0415 - see cli/__init__.py

    configure_logs(process=process, as_json=settings.logs_are_json, level=settings.log_level)
    try:
        uvloop.run(work)
    except (StartError, SoloistError) as error:
        complain(str(error))


def administer(command: Any, data: Path | None) -> None:
    """Run one operator's command on the database of the running server, or of one started for it."""
    import asyncio  # noqa: PLC0415 - see cli/__init__.py

    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415 - see cli/__init__.py

    from soloist.model.errors import SoloistError  # noqa: PLC0415 - see cli/__init__.py
    from soloist.service.admin import open_office  # noqa: PLC0415 - see cli/__init__.py
    from soloist.service.errors import StartError  # noqa: PLC0415 - see cli/__init__.py

    settings = read_settings(data=data)
    try:
        with open_office(settings) as office:
            asyncio.run(command(office))
    except (StartError, SoloistError) as error:
        complain(str(error))
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or type(error).__name__).strip().partition("\n")[0]
        complain(f"The database refused: {cause}. Is SOLOIST_DATABASE_URL right, and is its server up?")


def complain(text: str) -> NoReturn:
    """Tell a fault in one sentence and end with status 1."""
    typer.secho(f"soloist: {text}", fg=typer.colors.RED if sys.stderr.isatty() else None, err=True)
    raise typer.Exit(1)
