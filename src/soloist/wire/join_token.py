"""Join tokens: who may enter which room, signed with an app's join key so that a customer's backend mints its own.

A token is a JWT (RFC 7519) under HS256 with the claims app, room, user, role and exp. Besides these `iat` is read, if
it is there: a token issued after its user was removed from the room lets in again.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import jwt

from soloist.model.errors import RequestError
from soloist.model.ids import AppId, ParticipantId, RoomId, parse_id

ALGORITHM = "HS256"
KEY_BYTES_MIN = 32
"""RFC 7518 §3.2: an HS256 key is at least as long as its hash."""


class JoinRole(StrEnum):
    """What the bearer may do. Spec: API section 5.2 (roles)."""

    JOINER = "joiner"
    PUBLISHER = "publisher"
    PLAYER = "player"

    @property
    def may_publish(self) -> bool:
        """True for co-hosts; an audience member only watches."""
        return self is not JoinRole.PLAYER


class JoinTokenError(RequestError):
    """The join token is not valid; mint a new one with the app's join key."""


class JoinTokenExpiredError(JoinTokenError):
    """The join token has expired; mint a new one."""


class JoinTokenMismatchError(JoinTokenError):
    """The join token was minted for another app, room or user; use the one for this path."""


@dataclass(frozen=True, slots=True)
class JoinClaims:
    """What a valid token says."""

    app_id: AppId
    room_id: RoomId
    participant_id: ParticipantId
    role: JoinRole
    expires_at: datetime
    issued_at: datetime | None = None
    """None of a token that does not say; parts of a second count."""

    def require_path(self, app_id: str, room_id: str, participant_id: str) -> None:
        """Hold the token against the path it is used on.

        Raises:
            JoinTokenMismatchError: it is for somewhere or somebody else (the caller's fault: 403).
        """
        for claim, claimed, used in (
            ("app", self.app_id, app_id),
            ("room", self.room_id, room_id),
            ("user", self.participant_id, participant_id),
        ):
            if claimed != used:
                raise JoinTokenMismatchError(f"the join token is for another {claim}; mint one for this path")


def mint_join_token(
    key: str,
    *,
    app_id: AppId,
    room_id: RoomId,
    participant_id: ParticipantId,
    role: JoinRole,
    expires_at: datetime,
    issued_at: datetime | None = None,
) -> str:
    """Return a token for one participant of one room, valid until `expires_at` (aware; whole seconds count).

    Raises:
        JoinTokenError: the key is shorter than 32 bytes.
    """
    _require_key(key)
    claims: dict[str, object] = {
        "app": app_id,
        "room": room_id,
        "user": participant_id,
        "role": role.value,
        "exp": int(expires_at.timestamp()),
    }
    if issued_at is not None:
        claims["iat"] = round(issued_at.timestamp(), 3)
    return jwt.encode(claims, key, algorithm=ALGORITHM)


def verify_join_token(token: str, key: str, now: datetime) -> JoinClaims:
    """Return what a token says, once its signature and its expiry hold at `now` (aware).

    Raises:
        JoinTokenError: the signature, the form or a claim is wrong (the caller's fault: 401).
        JoinTokenExpiredError: it was valid until before `now`.
    Spec: RFC 7519 §7.2; RFC 8725 §3.1 (the algorithm is ours, never the token's).
    """
    _require_key(key)
    try:
        # The library would read the clock itself; expiry is checked below against `now`.
        claims = jwt.decode(
            token,
            key,
            algorithms=[ALGORITHM],
            options={"verify_exp": False, "verify_iat": False, "verify_nbf": False, "require": ["exp"]},
        )
    except jwt.PyJWTError as error:
        raise JoinTokenError(
            f"the join token is not valid ({error}); mint a new one with the app's join key"
        ) from error
    parsed = _parse_claims(claims, now)
    if parsed.expires_at <= now:
        raise JoinTokenExpiredError
    return parsed


def _parse_claims(claims: dict[str, object], now: datetime) -> JoinClaims:
    expires = claims["exp"]
    if isinstance(expires, bool) or not isinstance(expires, int):
        raise JoinTokenError("the join token's exp must be whole seconds since 1970")
    try:
        role = JoinRole(str(claims.get("role", "")))
        expires_at = datetime.fromtimestamp(expires, tz=now.tzinfo)
    except (ValueError, OverflowError, OSError) as error:
        raise JoinTokenError(
            f"the join token's claims cannot be read ({error}); role is joiner, publisher or player"
        ) from error
    return JoinClaims(
        app_id=AppId(_id_claim(claims, "app")),
        room_id=RoomId(_id_claim(claims, "room")),
        participant_id=ParticipantId(_id_claim(claims, "user")),
        role=role,
        expires_at=expires_at,
        issued_at=_issued_at(claims.get("iat"), now),
    )


def _issued_at(claim: object, now: datetime) -> datetime | None:
    """Return when a token says it was issued; None if it does not, or names no moment."""
    if isinstance(claim, bool) or not isinstance(claim, int | float):
        return None
    try:
        return datetime.fromtimestamp(claim, tz=now.tzinfo)
    except (ValueError, OverflowError, OSError):
        return None


def _id_claim(claims: dict[str, object], name: str) -> str:
    value = claims.get(name)
    if not isinstance(value, str):
        raise JoinTokenError(f"the join token has no {name} claim; mint one with it")
    try:
        return parse_id(value, name)
    except RequestError as error:
        raise JoinTokenError(f"the join token's {error}") from error


def _require_key(key: str) -> None:
    if len(key.encode()) < KEY_BYTES_MIN:
        raise JoinTokenError(
            f"a join key has at least {KEY_BYTES_MIN} bytes (RFC 7518 section 3.2); rotate the app's key"
        )
