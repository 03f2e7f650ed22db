"""`soloist bucket`: which buckets, or folders of them, a project may see and name."""

from typing import Annotated

import typer

from soloist.cli.office import AnyProject, Data, administer

buckets = typer.Typer(help="Which buckets, or folders of them, a project may see and name.", no_args_is_help=True)

GrantProject = Annotated[str, typer.Option("--project", help="Project id.")]
GrantLocation = Annotated[str, typer.Option("--location", help="Storage region id of SOLOIST_STORAGE.")]
GrantBucket = Annotated[
    str, typer.Option("--bucket", help="Bucket; * for every one that no other project was granted by name.")
]
GrantFolder = Annotated[
    str, typer.Option("--folder", help="Only keys below this. [dim]Default: all of the bucket[/dim]")
]


@buckets.command("grant", epilog="Example: soloist bucket grant --project acme --bucket recordings --folder acme")
def grant_bucket(
    *,
    project: GrantProject,
    bucket: GrantBucket,
    location: GrantLocation = "cn-north-4",
    folder: GrantFolder = "",
    data: Data = None,
) -> None:
    """Let a project see a bucket, or a folder of it, name it in record rules and read what is in it by the API."""
    from soloist.service.buckets import GrantChoice, bucket_granted  # noqa: PLC0415 - see cli/__init__.py

    administer(lambda office: bucket_granted(office, GrantChoice(project, location, bucket, folder)), data)


@buckets.command("revoke", epilog="Example: soloist bucket revoke --project acme --bucket recordings --folder acme")
def revoke_bucket(
    *,
    project: GrantProject,
    bucket: GrantBucket,
    location: GrantLocation = "cn-north-4",
    folder: GrantFolder = "",
    data: Data = None,
) -> None:
    """Take a grant back, named as it was given. Jobs that run go on; rules that record there start no other."""
    from soloist.service.buckets import GrantChoice, bucket_revoked  # noqa: PLC0415 - see cli/__init__.py

    administer(lambda office: bucket_revoked(office, GrantChoice(project, location, bucket, folder)), data)


@buckets.command("list", epilog="Example: soloist bucket list --project acme")
def list_buckets(*, project: AnyProject = None, data: Data = None) -> None:
    """List what is granted to whom."""
    from soloist.service.buckets import grants_listed  # noqa: PLC0415 - see cli/__init__.py

    administer(lambda office: grants_listed(office, project), data)
