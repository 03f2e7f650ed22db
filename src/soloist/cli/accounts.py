"""`soloist project`, `credential` and `token`: who may use the API, and ending that."""

from typing import Annotated

import typer

from soloist.cli.office import AnyProject, Data, Project, administer

projects = typer.Typer(help="Customers, each with apps, rules and jobs of its own.", no_args_is_help=True)
credential = typer.Typer(help="Access keys, by which requests to the API are signed.", no_args_is_help=True)
tokens = typer.Typer(help="X-Auth-Tokens, by which requests to the API are let in.", no_args_is_help=True)

KeepOld = Annotated[str, typer.Option(help="How long the old one is good: 30m, 24h, 7d, or 0.")]


@projects.command("list", epilog="Example: soloist project list")
def list_projects(*, data: Data = None) -> None:
    """List projects with what they have."""
    from soloist.service.credentials import projects_listed  # noqa: PLC0415 - see cli/__init__.py

    administer(projects_listed, data)


@projects.command("disable", epilog="Example: soloist project disable acme")
def disable_project(project: str, *, data: Data = None) -> None:
    """Refuse a project's requests (403) and let nobody join its rooms. Jobs that run go on to their end."""
    from soloist.service.credentials import project_disabled  # noqa: PLC0415 - see cli/__init__.py

    administer(lambda office: project_disabled(office, project, disabled=True), data)


@projects.command("enable", epilog="Example: soloist project enable acme")
def enable_project(project: str, *, data: Data = None) -> None:
    """Let a disabled project work again."""
    from soloist.service.credentials import project_disabled  # noqa: PLC0415 - see cli/__init__.py

    administer(lambda office: project_disabled(office, project, disabled=False), data)


@credential.command("create", epilog="Example: soloist credential create --project acme --token --expires 90d")
def create_credential(
    *,
    project: Project = "default",
    token: Annotated[bool, typer.Option("--token", help="A static X-Auth-Token instead of an AK/SK pair.")] = False,
    expires: Annotated[
        str | None, typer.Option(help="How long it is good: 30m, 24h, 90d. [dim]Default: until it is revoked[/dim]")
    ] = None,
    data: Data = None,
) -> None:
    """Make an AK/SK pair or a token for a project. What is shown once cannot be shown again."""
    from soloist.service.credentials import credential_created  # noqa: PLC0415 - see cli/__init__.py

    administer(lambda office: credential_created(office, project, expires, as_token=token), data)


@credential.command("list", epilog="Example: soloist credential list --project acme")
def list_credentials(*, project: AnyProject = None, data: Data = None) -> None:
    """List access keys without their secrets."""
    from soloist.service.credentials import credentials_listed  # noqa: PLC0415 - see cli/__init__.py

    administer(lambda office: credentials_listed(office, project), data)


@credential.command("revoke", epilog="Example: soloist credential revoke 3F0A5C2B9D8E7F601122")
def revoke_credential(access_key: str, *, data: Data = None) -> None:
    """End an access key, and the tokens that were asked for with it, within two seconds."""
    from soloist.service.credentials import credential_revoked  # noqa: PLC0415 - see cli/__init__.py

    administer(lambda office: credential_revoked(office, access_key), data)


@credential.command("rotate", epilog="Example: soloist credential rotate 3F0A5C2B9D8E7F601122 --keep-old 24h")
def rotate_credential(access_key: str, *, keep_old: KeepOld = "24h", data: Data = None) -> None:
    """Make a new AK/SK pair for the same project and show it once; the old one ends after a while."""
    from soloist.service.credentials import credential_rotated  # noqa: PLC0415 - see cli/__init__.py

    administer(lambda office: credential_rotated(office, access_key, keep_old), data)


@tokens.command("list", epilog="Example: soloist token list --project acme")
def list_tokens(*, project: AnyProject = None, data: Data = None) -> None:
    """List tokens by their ids, which are no secrets."""
    from soloist.service.credentials import tokens_listed  # noqa: PLC0415 - see cli/__init__.py

    administer(lambda office: tokens_listed(office, project), data)


@tokens.command("revoke", epilog="Example: soloist token revoke 0f3a5c2b9d8e")
def revoke_token(token_id: str, *, data: Data = None) -> None:
    """End a token within two seconds; its id is that of `soloist token list`."""
    from soloist.service.credentials import token_revoked  # noqa: PLC0415 - see cli/__init__.py

    administer(lambda office: token_revoked(office, token_id), data)
