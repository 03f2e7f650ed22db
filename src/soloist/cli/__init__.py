"""The `soloist` command: parses arguments, and imports a command's parts only when it runs, so that --help is quick."""

from pathlib import Path
from typing import Annotated

import typer

from soloist.cli.accounts import KeepOld, credential, projects, tokens
from soloist.cli.buckets import buckets
from soloist.cli.office import Data, Project, administer, complain, read_settings, run_process

EPILOG = """
Try it: [bold]soloist serve --dev[/bold], then in another terminal
[bold]soloist publish clip.mp4 --room r --user u[/bold].

Settings are SOLOIST_* variables; options win over them. Logs go to stderr.
"""

app = typer.Typer(
    help="Record one participant's stream of a WebRTC room to MP4, without decoding it.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
jobs = typer.Typer(help="Look at recording jobs.", no_args_is_help=True)
apps = typer.Typer(help="Applications: the scope of rooms, rules and jobs.", no_args_is_help=True)
join_token = typer.Typer(help="Tokens by which a participant publishes.", no_args_is_help=True)
rules = typer.Typer(help="Record rules: how an app's recordings are cut, named and stored.", no_args_is_help=True)
events = typer.Typer(help="What customers are told of their recordings (callbacks).", no_args_is_help=True)
GROUPS = {
    "jobs": jobs,
    "project": projects,
    "credential": credential,
    "token": tokens,
    "app": apps,
    "bucket": buckets,
    "rule": rules,
    "events": events,
    "join-token": join_token,
}
for name, group in GROUPS.items():
    app.add_typer(group, name=name)

Vp8 = Annotated[str, typer.Option(help="What MP4 and HLS rules make of VP8: webm, as it came, or h264, transcoded.")]


@app.command(epilog="Example: soloist serve --dev --data /tmp/soloist")
def serve(  # noqa: PLR0913 - the command's options
    *,
    dev: Annotated[bool, typer.Option("--dev", help="Loopback only, public credentials, app demo.")] = False,
    host: Annotated[str | None, typer.Option(help="Address to listen on. [dim]Default: 127.0.0.1[/dim]")] = None,
    port: Annotated[int | None, typer.Option(help="TCP port of the API. [dim]Default: 8080[/dim]")] = None,
    media_port: Annotated[int | None, typer.Option(help="First UDP port of media. [dim]Default: 8100[/dim]")] = None,
    data: Data = None,
    recorders: Annotated[int | None, typer.Option(help="Recorder processes. [dim]Default: 1[/dim]")] = None,
    public_address: Annotated[
        list[str] | None, typer.Option(help="Address publishers reach the media port by; may be given again.")
    ] = None,
    tls_cert: Annotated[Path | None, typer.Option(help="PEM certificate chain: serve the API by HTTPS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(help="PEM key of the certificate.")] = None,
) -> None:
    """Start everything: database, API and recorders. Ctrl-C stops it cleanly."""
    settings = read_settings(
        dev=dev or None,
        host=host,
        port=port,
        media_port=media_port,
        data=data,
        recorders=recorders,
        public_address=tuple(public_address) if public_address else None,
        tls_cert=tls_cert,
        tls_key=tls_key,
    )
    from soloist.app import serve as run_serve  # noqa: PLC0415 - see the module

    run_process(run_serve(settings), settings, "supervisor")


@app.command()
def api() -> None:
    """Run the API alone, over SOLOIST_DATABASE_URL; `serve` starts it as a child."""
    settings = read_settings()
    from soloist.app import run_api  # noqa: PLC0415 - see the module

    run_process(run_api(settings), settings, "api")


@app.command()
def recorder(slot: Annotated[int, typer.Option(help="Number of the slot this recorder serves.")] = 0) -> None:
    """Run one recorder alone, over SOLOIST_DATABASE_URL; `serve` starts them as children."""
    settings = read_settings()
    from soloist.app import run_recorder  # noqa: PLC0415 - see the module

    run_process(run_recorder(settings, slot), settings, f"recorder-{slot}")


@app.command(hidden=True)
def forwarder() -> None:
    """Forward one job to RTMP servers; a recorder starts it and speaks to it by its standard input."""
    from soloist.service.errors import StartError  # noqa: PLC0415 - see the module
    from soloist.service.forwarder import run_forwarder  # noqa: PLC0415 - see the module

    try:
        run_forwarder()
    except StartError as error:
        complain(str(error))


@app.command(epilog="Example: soloist publish clip.mp4 --room r --user u --loop")
def publish(  # noqa: PLR0913 - the command's options
    file: Annotated[Path, typer.Argument(help="Any media file; what is not H.264 or Opus is encoded.")],
    *,
    url: Annotated[str | None, typer.Option(help="A whole WHIP endpoint, in place of the next five.")] = None,
    server: Annotated[str, typer.Option(help="Where the API is.")] = "http://127.0.0.1:8080",
    app_id: Annotated[str, typer.Option("--app", help="App id.")] = "demo",
    room: Annotated[str, typer.Option(help="Room id; it need not exist.")] = "demo",
    user: Annotated[str, typer.Option(help="User id to publish as.")] = "demo",
    stream: Annotated[str, typer.Option(help="camera or screen.")] = "camera",
    token: Annotated[
        str | None, typer.Option(envvar="SOLOIST_TOKEN", help="Join token; development mode needs none.")
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin again at the end of the file.")] = False,
    duration: Annotated[float | None, typer.Option(help="Stop after this many seconds.")] = None,
) -> None:
    """Publish a media file into a room by WHIP, in real time, as a participant would."""
    from soloist.publisher import publish_command  # noqa: PLC0415 - see the module

    status = publish_command(
        file,
        url=url,
        server=server,
        app=app_id,
        room=room,
        user=user,
        stream=stream,
        token=token,
        loop=loop,
        duration=duration,
    )
    raise typer.Exit(status)


@app.command(epilog="Example: soloist backup /srv/backups/soloist-monday.zip")
def backup(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist.")], *, data: Data = None
) -> None:
    """Write apps, credentials, rules, jobs with files and events, and callbacks to a file. The service may run.

    Not in it: recordings (they are in their buckets), unfinished files in the spool, settings. It holds secrets.
    """
    from soloist.service.backup import backup_written  # noqa: PLC0415 - see the module

    administer(lambda office: backup_written(office, file), data)


@app.command(epilog="Example: soloist restore /srv/backups/soloist-monday.zip --data /var/lib/soloist")
def restore(
    file: Annotated[Path, typer.Argument(help="File that `soloist backup` wrote.")], *, data: Data = None
) -> None:
    """Fill an empty data folder, or an empty database of SOLOIST_DATABASE_URL, from a backup. The service must not run.

    Jobs that were live go on when the service starts. Copy <data>/spool and <data>/storage besides, if they are left.
    """
    from soloist.service.backup import backup_restored, read_contents  # noqa: PLC0415 - see the module
    from soloist.service.errors import StartError  # noqa: PLC0415 - see the module

    try:
        contents = read_contents(file)  # First: nothing is made in the data folder for a file that is none.
    except StartError as error:
        complain(str(error))
    administer(lambda office: backup_restored(office, file, contents), data)


@jobs.command("list", epilog="Example: soloist jobs list --state RUNNING")
def list_jobs(
    *,
    state: Annotated[str | None, typer.Option(help="INIT, RUNNING or STOPPED. [dim]Default: all[/dim]")] = None,
    limit: Annotated[int, typer.Option(help="How many at most, newest first.", min=1)] = 50,
    data: Data = None,
) -> None:
    """List recording jobs of all projects, newest first."""
    from soloist.service.admin import jobs_listed  # noqa: PLC0415 - see the module

    administer(lambda office: jobs_listed(office, state, limit), data)


@jobs.command("show")
def show_job(job_id: str, *, data: Data = None) -> None:
    """Show a job with its files and events."""
    from soloist.service.admin import job_shown  # noqa: PLC0415 - see the module

    administer(lambda office: job_shown(office, job_id), data)


@apps.command("create", epilog="Example: soloist app create shop --project acme")
def create_app(app_name: str, *, project: Project = "default", vp8: Vp8 = "webm", data: Data = None) -> None:
    """Make an app and show its id and join key."""
    from soloist.service.admin import app_created  # noqa: PLC0415 - see the module

    administer(lambda office: app_created(office, app_name, project, vp8), data)


@apps.command("set", epilog="Example: soloist app set 5ff9701f2346968bb306cb43 --vp8 h264")
def set_app(app_id: str, *, vp8: Vp8, data: Data = None) -> None:
    """Change what becomes of VP8 in an app's jobs from the next one on, and show the app."""
    from soloist.service.admin import app_changed  # noqa: PLC0415 - see the module

    administer(lambda office: app_changed(office, app_id, vp8), data)


@apps.command("rotate-join-key", epilog="Example: soloist app rotate-join-key 5ff9701f2346968bb306cb43 --keep-old 24h")
def rotate_join_key(app_id: str, *, keep_old: KeepOld = "24h", data: Data = None) -> None:
    """Give an app a new join key and show it. Tokens of the old one are good for a while, of any older one no more."""
    from soloist.service.credentials import join_key_rotated  # noqa: PLC0415 - see the module

    administer(lambda office: join_key_rotated(office, app_id, keep_old), data)


@apps.command("show")
def show_app(app_id: str, *, data: Data = None) -> None:
    """Show an app with its join key, by which your backend signs join tokens (HS256)."""
    from soloist.service.admin import app_shown  # noqa: PLC0415 - see the module

    administer(lambda office: app_shown(office, app_id), data)


@rules.command("create", epilog="Example: soloist rule create --app 5ff9701f2346968bb306cb43 --bucket recordings")
def create_rule(  # noqa: PLR0913 - the command's options
    *,
    app_id: Annotated[str, typer.Option("--app", help="App id.")],
    bucket: Annotated[str, typer.Option(help="Bucket (a folder) below the location; made when first used.")],
    location: Annotated[str, typer.Option(help="Storage region id of SOLOIST_STORAGE.")] = "cn-north-4",
    folder: Annotated[str, typer.Option(help="What every object key begins with. [dim]Default: nothing[/dim]")] = "",
    cycle: Annotated[int, typer.Option(help="A new file begins after this many seconds: 60 to 10800.")] = 3600,
    merge_gap: Annotated[
        int, typer.Option(help="An interruption longer than this many seconds begins a new file: 0 to 300.")
    ] = 300,
    prefix: Annotated[str | None, typer.Option(help="Template of object keys; see docs/production.md.")] = None,
    audio: Annotated[str, typer.Option(help="aac, or copy for Opus untouched.")] = "aac",
    keep_damaged: Annotated[
        bool, typer.Option("--keep-damaged", help="After loss, keep pictures that refer to what is lost.")
    ] = False,
    data: Data = None,
) -> None:
    """Make an app's record rule for a location, or replace the one it has there, and show its id."""
    from soloist.service.rules import RuleChoice, rule_created  # noqa: PLC0415 - see the module

    choice = RuleChoice(app_id, location, bucket, folder, cycle, merge_gap, prefix, audio, keep_damaged)
    administer(lambda office: rule_created(office, choice), data)


@rules.command("list", epilog="Example: soloist rule list --app 5ff9701f2346968bb306cb43")
def list_rules(*, app_id: Annotated[str, typer.Option("--app", help="App id.")], data: Data = None) -> None:
    """List an app's record rules."""
    from soloist.service.rules import rules_listed  # noqa: PLC0415 - see the module

    administer(lambda office: rules_listed(office, app_id), data)


@events.command("list", epilog="Example: soloist events list --app shop --state DEAD")
def list_events(
    *,
    app_id: Annotated[str | None, typer.Option("--app", help="Only of this app.")] = None,
    job: Annotated[str | None, typer.Option(help="Only of this job.")] = None,
    state: Annotated[
        str | None,
        typer.Option(
            help="WAITING (to be sent), DELIVERED, DEAD (given up after 24 hours), SKIPPED (switched off) or UNTOLD "
            "(the app had no callback). [dim]Default: all[/dim]"
        ),
    ] = None,
    limit: Annotated[int, typer.Option(help="How many at most, newest first.", min=1)] = 50,
    data: Data = None,
) -> None:
    """List what customers were told, or are to be told, with what their servers answered last."""
    from soloist.service.events import events_listed  # noqa: PLC0415 - see the module

    administer(lambda office: events_listed(office, app_id, job, state, limit), data)


@events.command(
    "replay",
    epilog="Examples: soloist events replay 2f1c…-7 (an event id of `soloist events list`) · "
    "soloist events replay --app shop",
)
def replay_events(
    event_id: Annotated[str | None, typer.Argument(help="One event, whatever became of it.")] = None,
    *,
    app_id: Annotated[str | None, typer.Option("--app", help="Everything of this app that was given up.")] = None,
    data: Data = None,
) -> None:
    """Tell customers again: one event, or all that an app's server never took."""
    from soloist.service.events import events_replayed  # noqa: PLC0415 - see the module

    administer(lambda office: events_replayed(office, event_id, app_id), data)


@events.command("pause", epilog="Example: soloist events pause shop")
def pause_events(app_id: str, *, data: Data = None) -> None:
    """Hold back an app's callbacks while its server is being repaired; nothing is lost."""
    from soloist.service.events import events_paused  # noqa: PLC0415 - see the module

    administer(lambda office: events_paused(office, app_id, paused=True), data)


@events.command("resume", epilog="Example: soloist events resume shop")
def resume_events(app_id: str, *, data: Data = None) -> None:
    """Send an app's callbacks again, what was held back first."""
    from soloist.service.events import events_paused  # noqa: PLC0415 - see the module

    administer(lambda office: events_paused(office, app_id, paused=False), data)


@join_token.command("create", epilog="Example: soloist join-token create --app demo --room r --user u --minutes 60")
def create_join_token(
    *,
    app_id: Annotated[str, typer.Option("--app", help="App id.")],
    room: Annotated[str, typer.Option(help="Room id.")],
    user: Annotated[str, typer.Option(help="User id.")],
    minutes: Annotated[int, typer.Option(help="How long it is good for.", min=1)] = 60,
    data: Data = None,
) -> None:
    """Make a token with which one user may publish into one room."""
    from soloist.service.admin import join_token_created  # noqa: PLC0415 - see the module

    administer(lambda office: join_token_created(office, app_id, room, user, minutes), data)


def run() -> None:
    """Run the command line; faults that have a remedy are told in one sentence."""
    app()
