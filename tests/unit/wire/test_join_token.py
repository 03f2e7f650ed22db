"""A join token lets in whom the app's key holder named, where and until when, and nobody else."""

from datetime import UTC, datetime, timedelta

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soloist.model.ids import AppId, ParticipantId, RoomId
from soloist.wire.join_token import (
    JoinRole,
    JoinTokenError,
    JoinTokenExpiredError,
    JoinTokenMismatchError,
    mint_join_token,
    verify_join_token,
)

KEY = "0123456789abcdef0123456789abcdef"
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def token(**changes: object) -> str:
    values = {
        "app_id": AppId("demo"),
        "room_id": RoomId("r1"),
        "participant_id": ParticipantId("alice"),
        "role": JoinRole.PUBLISHER,
        "expires_at": NOW + timedelta(minutes=5),
    }
    return mint_join_token(KEY, **(values | changes))  # type: ignore[arg-type]


def signed(claims: dict[str, object], key: str = KEY, algorithm: str = "HS256") -> str:
    good = {"app": "demo", "room": "r1", "user": "alice", "role": "joiner", "exp": int(NOW.timestamp()) + 60}
    return jwt.encode({k: v for k, v in (good | claims).items() if v is not None}, key, algorithm=algorithm)


def test_a_minted_token_says_what_it_was_minted_for() -> None:
    claims = verify_join_token(token(), KEY, NOW)

    assert (claims.app_id, claims.room_id, claims.participant_id) == ("demo", "r1", "alice")
    assert claims.role is JoinRole.PUBLISHER
    assert claims.expires_at == NOW + timedelta(minutes=5)


def test_a_token_is_refused_from_the_second_it_expires() -> None:
    verify_join_token(token(expires_at=NOW + timedelta(seconds=1)), KEY, NOW)

    with pytest.raises(JoinTokenExpiredError):
        verify_join_token(token(expires_at=NOW), KEY, NOW)


def test_a_token_of_another_key_is_refused() -> None:
    with pytest.raises(JoinTokenError):
        verify_join_token(token(), "another-key-another-key-another-key", NOW)


def test_the_token_never_chooses_its_own_algorithm() -> None:
    for forged in (jwt.encode({"exp": 2**31}, "", algorithm="none"), signed({}, KEY * 2, "HS512")):
        with pytest.raises(JoinTokenError):
            verify_join_token(forged, KEY * 2, NOW)


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": None},
        {"exp": "soon"},
        {"exp": True},
        {"exp": 10**30},
        {"role": "admin"},
        {"role": None},
        {"room": None},
        {"room": 7},
        {"user": "../../etc"},
        {"app": "a b"},
    ],
)
def test_a_missing_or_odd_claim_is_refused(claims: dict[str, object]) -> None:
    with pytest.raises(JoinTokenError):
        verify_join_token(signed(claims), KEY, NOW)


def test_a_short_key_neither_mints_nor_verifies() -> None:
    with pytest.raises(JoinTokenError, match="32 bytes"):
        verify_join_token(token(), "short", NOW)


@pytest.mark.parametrize("path", [("demo2", "r1", "alice"), ("demo", "r2", "alice"), ("demo", "r1", "bob")])
def test_a_token_holds_only_for_its_own_path(path: tuple[str, str, str]) -> None:
    claims = verify_join_token(token(), KEY, NOW)

    claims.require_path("demo", "r1", "alice")
    with pytest.raises(JoinTokenMismatchError):
        claims.require_path(*path)


def test_only_an_audience_member_may_not_publish() -> None:
    assert [role.may_publish for role in JoinRole] == [True, True, False]


@given(st.text(max_size=300))
def test_no_text_whatever_passes_as_a_token(text: str) -> None:
    with pytest.raises(JoinTokenError):
        verify_join_token(text, KEY, NOW)
