"""Every setting, read once from SOLOIST_* variables; the supervisor hands them to its children the same way.

Import this late: pydantic-settings costs more than all of `soloist --help` may.
"""

import contextlib
import hashlib
import ipaddress
import json
import os
import re
import secrets
from datetime import timedelta
from pathlib import Path
from typing import Literal, Self, TypeGuard

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from soloist.storage.location import Location, S3Location
from soloist.wire.addresses import LOOPBACK
from soloist.wire.sigv4 import S3Credential

JSON_EXAMPLES = {
    "storage": '{"cn-north-4": "/srv/recordings"}',
    "public_address": '["192.0.2.1"]',
    "ice_servers": '[{"url": "stun:stun.example:3478"}]',
    "metrics_from": '["127.0.0.0/8", "10.0.0.0/8"]',
    "trusted_proxies": '["127.0.0.1", "10.0.0.0/8"]',
    "outgoing_allowed": '["10.0.0.0/8"]',
    "outgoing_denied_networks": '["198.51.100.0/24"]',
}
"""How the settings that are lists or objects are written."""

SOCKET_PATH_BYTES_MAX = 107
"""What a unix socket's path may measure on Linux (sun_path less its terminator)."""


def default_data_dir() -> Path:
    """Return where data live if nobody says: /var/lib/soloist as root, else the user's data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/soloist")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "soloist"


class IceServerSetting(BaseModel):
    """One STUN or TURN server of SOLOIST_ICE_SERVERS."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str = Field(pattern=r'^(stuns?|turns?):[^\s<>"]+$')
    username: str = Field(default="", pattern=r'^[^\s"\\]*$')
    credential: SecretStr = SecretStr("")


LOCATION_PATTERN = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")
_S3_NAMES = "endpoint, access_key and secret_key"


class S3Setting(BaseModel):
    """One S3-compatible store of SOLOIST_STORAGE."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    endpoint: str = Field(pattern=r"^https?://[^/\s?#@]+$")
    access_key: str = Field(min_length=1)
    secret_key: SecretStr = Field(min_length=1)
    region: str = Field(default="us-east-1", pattern=r"^[A-Za-z0-9-]+$")
    addressing: Literal["path", "virtual"] = "path"
    public_endpoint: str = Field(default="", pattern=r"^(https?://[^/\s?#@]+)?$")
    download_urls: Literal["signed", "plain"] = "signed"
    request_timeout_s: float = Field(default=60.0, gt=0, le=600)
    patience_s: float = Field(default=15.0, gt=0, le=300)

    @property
    def location(self) -> S3Location:
        """The store, as the parts that use it know it."""
        return S3Location(
            endpoint=self.endpoint,
            credential=S3Credential(self.access_key, self.secret_key.get_secret_value(), self.region),
            is_virtual_hosted=self.addressing == "virtual",
            public_endpoint=self.public_endpoint,
            has_signed_urls=self.download_urls == "signed",
            request_timeout=timedelta(seconds=self.request_timeout_s),
            patience=timedelta(seconds=self.patience_s),
        )


class Settings(BaseSettings):
    """Soloist's settings; each is the variable SOLOIST_<NAME> in the environment."""

    model_config = SettingsConfigDict(env_prefix="SOLOIST_", extra="ignore", frozen=True, hide_input_in_errors=True)

    data: Path = Field(default_factory=default_data_dir)
    """Folder of everything that must survive a restart: database, spool, storage, node id.
    Default /var/lib/soloist as root, else $XDG_DATA_HOME/soloist. On a slow or full disk recordings fail."""

    database_url: SecretStr | None = None
    """PostgreSQL to use, postgresql://user:password@host:port/database. Default: a private one under the data folder.
    Its loss stops the API; recordings that run go on."""

    host: str = "127.0.0.1"
    """Address the API listens on. Default loopback; 0.0.0.0 offers it to the network, which dev mode refuses."""

    port: int = Field(default=8080, ge=0, le=65535)
    """TCP port of the API. Default 8080; 0 lets the system choose, the ready line names it."""

    media_port: int = Field(default=8100, ge=0, le=65535)
    """UDP port of recorder 0, the next recorder has the next one. Default 8100; 0 lets the system choose."""

    public_address: tuple[str, ...] = ()
    """Addresses publishers reach the media port by, as JSON list. Default: the address it is bound to."""

    ice_servers: tuple[IceServerSetting, ...] = Field(default=(), repr=False)
    """STUN and TURN servers told to publishers, as JSON list of objects with url and, for TURN, username and
    credential. Default none: publishers reach the media port directly."""

    tls_cert: Path | None = None
    """PEM file of the API's certificate and its chain; with tls_key the API speaks HTTPS. Default none: HTTP, as
    behind a proxy. Read at start only: restart after a renewal."""

    tls_key: Path | None = None
    """PEM file of the certificate's key, without a password."""

    recorders: int = Field(default=1, ge=1, le=64)
    """Recorder processes. Default 1, which serves about 150 streams; more than CPU cores gain nothing."""

    dev: bool = False
    """Development mode: loopback only, with the credentials devkey/devsecret and devtoken and the app demo."""

    storage: dict[str, str | S3Setting] = Field(default_factory=dict, repr=False)
    """Storage region id to the folder of its buckets, or to an S3-compatible store, as JSON object. Default
    {"cn-north-4": "<data>/storage"}. A rule of another location is refused when a job starts."""

    public_url: str = Field(default="", pattern=r"^(https?://[^/\s?#@]+)?$")
    """Scheme, host and port by which others reach the API; download URLs begin with it. Default: the address it listens
    on, the first public address for a wildcard."""

    download_url_days: float = Field(default=7.0, gt=0, le=3650)
    """Days a download URL is good for. Default 7, which is the most an S3 store's own URLs can."""

    object_key: SecretStr | None = Field(default=None, min_length=32)
    """What download URLs are signed with, at least 32 characters. Default: made once, in <data>/object_key. Nodes that
    share a database share it; a new one ends all URLs given out."""

    live_jobs_max: int = Field(default=1000, ge=1)
    """INIT and RUNNING jobs a project may have. Default 1000; beyond it a start answers RTC.00001007."""

    recordings_per_project_max: int = Field(default=500, ge=1)
    """Recordings a project may have whose participants publish at this moment, on all recorders. Default 500; beyond
    it a start answers RTC.00001007."""

    jobs_per_recorder_max: int = Field(default=5000, ge=1, le=50_000)
    """Jobs of all projects that a recorder may hold, waiting or recording. Default 5000, 35 kB each; beyond it a start
    answers RTC.00001007."""

    rooms_per_project_max: int = Field(default=500, ge=1)
    """Rooms with somebody in them that a project may have on one recorder, of 1000 in all. Default 500; beyond it a
    publisher is answered 503."""

    session_packets_per_s_max: int = Field(default=12_000, ge=100)
    """RTP packets of pictures a publisher may send a second, beside 500 of sound. Default 12000, which is more than
    100 Mbit/s; what exceeds it is refused, and missing as `fault`, `overload`."""

    session_mbit_per_s_max: int = Field(default=100, ge=1, le=10_000)
    """Mbit a publisher may send a second. Default 100; what exceeds it is refused in the same way."""

    recorder_memory_mb: int = Field(default=0, ge=0)
    """MiB of memory a recorder may hold; at nine tenths of it nothing new is taken. Default 0: its part of four fifths
    of the machine's memory, or the container's."""

    project_jobs_max: int = Field(default=1_000_000, ge=0)
    """Jobs a project may keep, those that ended within keep_jobs_days among them. Default 1000000; 0 for any number.
    Beyond this quota and the next three a start answers RTC.00001007."""

    project_files_max: int = Field(default=0, ge=0)
    """Completed files of those jobs. Default 0: any number."""

    project_gigabytes_max: float = Field(default=0.0, ge=0)
    """Their size in GB, 10^9 bytes. Default 0: any."""

    project_hours_max: float = Field(default=0.0, ge=0)
    """Their length in hours. Default 0: any."""

    apps_max: int = Field(default=20, ge=1)
    """Apps a project may make. Default 20; beyond it a create answers RTC.00001017. The operator's command is free."""

    requests_per_minute_max: int = Field(default=0, ge=0)
    """Requests a project may make below /v2 within a minute. Default 0: any number; beyond it 429 with Retry-After."""

    keep_jobs_days: int = Field(default=30, ge=1)
    """Days a job that has ended can be asked about. Default 30; then it answers 404. Its files stay in their bucket."""

    log_format: Literal["json", "text"] | None = None
    """json for one object a line, text for people. Default json, in dev mode text."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line written. Default info; debug shows every engine decision and costs CPU."""

    metrics_from: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks that may read /metrics, as JSON list. Default loopback only; others get 404. A proxy on this machine is
    loopback too: let it refuse that path."""

    connections_max: int = Field(default=2000, ge=10)
    """Connections the API keeps at once. Default 2000, or what the limit of open files leaves room for."""

    connections_per_address_max: int = Field(default=500, ge=5)
    """Those from one address; beyond it its longest idle one is ended. Default 500. Trusted proxies are not bounded."""

    downloads_max: int = Field(default=200, ge=1)
    """Downloads of finished objects through the API at once. Default 200; beyond it 503."""

    downloads_per_address_max: int = Field(default=50, ge=1)
    """Those from one address. Default 50."""

    trusted_proxies: tuple[str, ...] = ()
    """Networks of proxies in front whose X-Forwarded-For, Forwarded and X-Forwarded-Proto are believed, as JSON list.
    Default none: whoever connects is who asks."""

    outgoing_allowed: tuple[str, ...] = ()
    """Networks beside the public ones that addresses named by customers may lead to (callbacks, RTMP), as JSON list.
    Default none, in dev mode loopback. Whatever is allowed here, every customer can have a request sent to."""

    outgoing_denied_networks: tuple[str, ...] = ()
    """Networks that addresses named by customers may not lead to though they are public, or allowed, as JSON list: the
    operator's own. Default none."""

    forward_stalled_s: float = Field(default=30.0, ge=1, le=600)
    """Seconds an RTMP server may take no media before it is connected anew. Default 30."""

    forwarders_max: int = Field(default=32, ge=1, le=1000)
    """Jobs of one recorder that forward at once; others record and wait. Default 32."""

    project_forwarders_max: int = Field(default=16, ge=1, le=1000)
    """Those of one project in one recorder. Default 16."""

    transcoders_max: int = Field(default=16, ge=1, le=1000)
    """Jobs of one recorder whose VP8 is made H.264 at once. Default 16."""

    project_transcoders_max: int = Field(default=8, ge=1, le=1000)
    """Those of one project in one recorder. Default 8."""

    job_files_max: int = Field(default=10_000, ge=100, le=1_000_000)
    """Files one job may have under one recorder before it fails. Default 10000."""

    callback_job_over: bool = True
    """Whether callbacks tell of a job's end (CLOUD_RECORD_SERVER_OVER) beside its files. Default true."""

    callback_user_id: bool = False
    """Whether callbacks name the recorded user, which the vendor's do not. Default false."""

    callback_standard_headers: bool = False
    """Whether callbacks carry the headers of Standard Webhooks beside the vendor's. Default false."""

    callback_probe: bool = False
    """Whether a callback's address must answer a trial before it is accepted. Default false."""

    drain_s: float = Field(default=5.0, gt=0, le=60)
    """Seconds a recorder may take to close its files when it is stopped. Default 5; less may leave files for the next
    start to finish."""

    run_as: str = Field(default="", pattern=r"^[a-z_][a-z0-9_-]{0,31}$|^$")
    """System user that api and recorders run as when started as root. Default soloist, made if absent; in development
    mode whoever starts it. root keeps them root."""

    runtime: Path | None = None
    """Folder below which the folder of sockets, soloist-<hash of the data folder>, is made and removed again. Default
    /run as root, else $XDG_RUNTIME_DIR, else /tmp. Short, because socket paths are limited to 107 bytes."""

    @field_validator("data", "runtime", "tls_cert", "tls_key")
    @classmethod
    def _paths_are_absolute(cls, path: Path | None) -> Path | None:
        """Hold paths that mean the same in every child, whichever folder it runs in."""
        return path.expanduser().absolute() if path else path

    @field_validator("storage", mode="before")
    @classmethod
    def _locations_lead_somewhere(cls, places: object) -> object:
        """Refuse in words that leave out what was given: it may hold a secret."""
        for location, place in places.items() if isinstance(places, dict) else ():
            if not LOCATION_PATTERN.fullmatch(str(location)):
                raise ValueError("a storage region id is 1 to 64 characters of A-Z a-z 0-9 _ . -")
            if not place or not isinstance(place, str | dict | S3Setting) or "://" in place:
                raise ValueError(f"{location} must be a folder, such as /srv/recordings, or an object with {_S3_NAMES}")
        return places

    @field_validator("storage")
    @classmethod
    def _folders_are_absolute(cls, places: dict[str, str | S3Setting]) -> dict[str, str | S3Setting]:
        """Hold paths that mean the same in every child, whichever folder it runs in."""
        absolute = {name: str(Path(place).expanduser().absolute()) for name, place in places.items() if _is_path(place)}
        return places | absolute

    @field_validator("public_address")
    @classmethod
    def _addresses_are_addresses(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            try:
                ipaddress.ip_address(text)
            except ValueError:
                raise ValueError(f"{text!r} is no IP address; give one such as 192.0.2.1, without a port") from None
        return texts

    @field_validator("metrics_from", "outgoing_allowed", "outgoing_denied_networks", "trusted_proxies")
    @classmethod
    def _networks_are_networks(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            ipaddress.ip_network(text)
        return texts

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ValueError("SOLOIST_TLS_CERT and SOLOIST_TLS_KEY are given together")
        return self

    @property
    def session_budget(self) -> dict[str, int]:
        """What one publisher may send a second, by the core's names."""
        return {
            "video_packets_per_s": self.session_packets_per_s_max,
            "bytes_per_s": self.session_mbit_per_s_max * 125_000,
        }

    @property
    def runtime_dir(self) -> Path:
        """Where this instance's sockets are."""
        return (self.runtime or _runtime_base()) / f"soloist-{self.instance}"

    @property
    def instance(self) -> str:
        """What tells this data folder's instance from others on the machine: eight hex digits."""
        return hashlib.sha256(os.fsencode(self.data.resolve())).hexdigest()[:8]

    @property
    def storage_locations(self) -> dict[str, Location]:
        """Storage region id to where its buckets are."""
        if not self.storage:
            return {"cn-north-4": self.data / "storage"}
        return {name: Path(place) if isinstance(place, str) else place.location for name, place in self.storage.items()}

    @property
    def api_url(self) -> str:
        """Where others reach the API, as far as the settings tell."""
        if self.public_url:
            return self.public_url
        host = self.host
        if host in {"0.0.0.0", "::"}:  # noqa: S104 - a wildcard is no address to give out
            host = self.public_address[0] if self.public_address else "127.0.0.1"
        shown = f"[{host}]" if ":" in host else host
        return f"{'https' if self.tls_cert else 'http'}://{shown}:{self.port}"

    @property
    def outgoing_networks(self) -> tuple[str, ...]:
        """Networks beside the public ones that outgoing requests may go to."""
        return (*self.outgoing_allowed, *(LOOPBACK if self.dev else ()))

    @property
    def logs_are_json(self) -> bool:
        """Whether log lines are JSON objects."""
        return (self.log_format or ("text" if self.dev else "json")) == "json"

    def recorder_socket(self, index: int) -> Path:
        """Return the unix socket the recorder of this number answers on."""
        return self.runtime_dir / f"recorder-{index}.sock"

    def slots(self, node_id: str) -> list[str]:
        """Return the names of this node's recorder slots, by number."""
        return [f"{node_id}/{index}" for index in range(self.recorders)]

    def environment(self) -> dict[str, str]:
        """Return the settings as variables for a child process; secrets travel here and never in argv."""
        prefix = self.model_config["env_prefix"]
        variables = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is None:
                continue
            plain = value.get_secret_value() if isinstance(value, SecretStr) else value
            variables[f"{prefix}{name.upper()}"] = _render(plain)
        return variables


def unreadable(complaint: str) -> str:
    """Return what to tell of a variable that is not JSON, from pydantic-settings' own complaint, which has no value."""
    name = next((name for name in JSON_EXAMPLES if f'"{name}"' in complaint), None)
    if name is None:
        return complaint
    return f"SOLOIST_{name.upper()} is not JSON; write it like: SOLOIST_{name.upper()}='{JSON_EXAMPLES[name]}'"


def _render(value: object) -> str:
    if isinstance(value, str | Path):
        return str(value)

    return json.dumps(value, default=_plain)


def _plain(value: object) -> object:
    """Return what a child process has to read, secrets in the clear."""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return {name: getattr(value, name) for name in type(value).model_fields}
    raise TypeError(f"{type(value).__name__} is no setting")


def _is_path(place: object) -> TypeGuard[str]:
    return isinstance(place, str)


def _runtime_base() -> Path:
    if os.geteuid() == 0 and os.access("/run", os.W_OK):
        return Path("/run")
    chosen = os.environ.get("XDG_RUNTIME_DIR")
    if chosen and os.access(chosen, os.W_OK) and len(os.fsencode(chosen)) < SOCKET_PATH_BYTES_MAX // 2:
        return Path(chosen)
    return Path("/tmp")  # noqa: S108 - the folder below it is made 0700 and checked to be ours


def node_id_of(data: Path) -> str:
    """Return the id of this node, kept in `<data>/node_id` and made at the first call: twelve hex digits.

    It names recorder slots and thereby queues, so it must survive restarts and be unique among nodes of a database.
    """
    path = data / "node_id"
    if not path.exists():
        draft = data / f".node_id.{os.getpid()}"
        draft.write_text(secrets.token_hex(6) + "\n", encoding="ascii")
        draft.rename(path)
    return path.read_text(encoding="ascii").strip()


def object_key_of(data: Path) -> str:
    """Return what this installation signs download URLs with, kept in `<data>/object_key`; the first call makes it."""
    path = data / "object_key"
    if not path.exists():
        draft = data / f".object_key.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_hex(32) + "\n", encoding="ascii")
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)  # The first of several processes wins, and all read what it wrote.
        draft.unlink()
    return path.read_text(encoding="ascii").strip()
