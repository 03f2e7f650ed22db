"""Every setting, read once from SOLOIST_* variables; the supervisor hands them to its children the same way.

Import this late: pydantic-settings costs more than all of `soloist --help` may.
"""

import hashlib
import ipaddress
import json
import os
import secrets
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from soloist.wire.addresses import LOOPBACK

JSON_EXAMPLES = {
    "storage": '{"cn-north-4": "/srv/recordings"}',
    "public_address": '["192.0.2.1"]',
    "ice_servers": '[{"url": "stun:stun.example:3478"}]',
    "metrics_from": '["127.0.0.0/8", "10.0.0.0/8"]',
    "outgoing_allowed": '["10.0.0.0/8"]',
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


class Settings(BaseSettings):
    """Soloist's settings; each is the variable SOLOIST_<NAME> in the environment."""

    model_config = SettingsConfigDict(env_prefix="SOLOIST_", extra="ignore", frozen=True)

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

    storage: dict[str, str] = Field(default_factory=dict)
    """Storage region id to the folder of its buckets, as JSON object. Default {"cn-north-4": "<data>/storage"}. A rule
    of another location is refused when a job starts. Object stores (s3://) are not built yet and refused at start."""

    live_jobs_max: int = Field(default=1000, ge=1)
    """INIT and RUNNING jobs a project may have. Default 1000; beyond it a start answers RTC.00001007."""

    keep_jobs_days: int = Field(default=30, ge=1)
    """Days a job that has ended can be asked about. Default 30; then it answers 404. Its files stay in their bucket."""

    log_format: Literal["json", "text"] | None = None
    """json for one object a line, text for people. Default json, in dev mode text."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe line written. Default info; debug shows every engine decision and costs CPU."""

    metrics_from: tuple[str, ...] = ("127.0.0.0/8", "::1/128")
    """Networks that may read /metrics, as JSON list. Default loopback only; others get 404. A proxy on this machine is
    loopback too: let it refuse that path."""

    outgoing_allowed: tuple[str, ...] = ()
    """Networks beside the public ones that addresses named by customers may lead to (callbacks), as JSON list. Default
    none, in dev mode loopback. Whatever is allowed here, every customer can have a request sent to."""

    drain_s: float = Field(default=5.0, gt=0, le=60)
    """Seconds a recorder may take to close its files when it is stopped. Default 5; less may leave files for the next
    start to finish."""

    runtime: Path | None = None
    """Folder below which the folder of sockets, soloist-<hash of the data folder>, is made and removed again. Default
    /run as root, else $XDG_RUNTIME_DIR, else /tmp. Short, because socket paths are limited to 107 bytes."""

    @field_validator("data", "runtime", "tls_cert", "tls_key")
    @classmethod
    def _paths_are_absolute(cls, path: Path | None) -> Path | None:
        """Hold paths that mean the same in every child, whichever folder it runs in."""
        return path.expanduser().absolute() if path else path

    @field_validator("storage")
    @classmethod
    def _locations_are_folders(cls, places: dict[str, str]) -> dict[str, str]:
        for location, place in places.items():
            if not place or "://" in place:
                raise ValueError(f"{location} must be a folder, such as /srv/recordings, and not {place!r}")
        return {location: str(Path(place).expanduser().absolute()) for location, place in places.items()}

    @field_validator("public_address")
    @classmethod
    def _addresses_are_addresses(cls, texts: tuple[str, ...]) -> tuple[str, ...]:
        for text in texts:
            try:
                ipaddress.ip_address(text)
            except ValueError:
                raise ValueError(f"{text!r} is no IP address; give one such as 192.0.2.1, without a port") from None
        return texts

    @field_validator("metrics_from", "outgoing_allowed")
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
    def runtime_dir(self) -> Path:
        """Where this instance's sockets are."""
        return (self.runtime or _runtime_base()) / f"soloist-{self.instance}"

    @property
    def instance(self) -> str:
        """What tells this data folder's instance from others on the machine: eight hex digits."""
        return hashlib.sha256(os.fsencode(self.data.resolve())).hexdigest()[:8]

    @property
    def storage_locations(self) -> dict[str, str]:
        """Storage region id to the folder that holds its buckets."""
        return self.storage or {"cn-north-4": str(self.data / "storage")}

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
    if isinstance(value, IceServerSetting):
        return {"url": value.url, "username": value.username, "credential": value.credential.get_secret_value()}
    raise TypeError(f"{type(value).__name__} is no setting")


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
