"""The recorder's WHIP app carries requests to the protocol and its verdicts to the rooms."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import pytest
from starlette.applications import Starlette
from support.asgi import Answer, call
from support.offers import OFFER, RESTART, TRICKLE
from support.scripted_receiver import ScriptedReceiver
from support.session_items import ConnectedValue

from soloist.core import OfferError
from soloist.model.ids import AppId, RoomId
from soloist.model.media import Codec, TrackSource
from soloist.sources.joining import RoomLimits
from soloist.sources.receiver import MediaThread
from soloist.sources.rooms import Rooms
from soloist.sources.whip import create_whip_app
from soloist.wire.whip import IceServer

pytestmark = pytest.mark.anyio
SDP_TYPE = ("Content-Type", "application/sdp")
FRAG_TYPE = ("Content-Type", "application/trickle-ice-sdpfrag")


class Picky(ScriptedReceiver):
    """Refuses offers for VP9, and remembers the codecs it was asked for."""

    asked: Sequence[str] = ()

    def accept_offer(self, offer, *, video_codecs, with_red=True):
        self.asked = video_codecs
        if video_codecs == ["vp9"]:
            raise OfferError("no common video codec")
        return super().accept_offer(offer, video_codecs=video_codecs, with_red=with_red)


class Door:
    """The app over a scripted receiver."""

    def __init__(self) -> None:
        self.core = Picky()
        self.media = MediaThread(self.core)  # type: ignore[arg-type]
        self.media.start()
        self.rooms = Rooms(self.media, limits=RoomLimits(rooms_max=2), linger_s=0)
        self.codecs: Sequence[Codec] = (Codec.H264, Codec.VP8)
        self.app: Starlette = create_whip_app(
            self.rooms, self.media, video_codecs_of=self.codecs_of, ice_servers=[IceServer("stun:s.example:3478")]
        )

    async def codecs_of(self, _app_id: AppId) -> Sequence[Codec]:
        return self.codecs

    async def publish(self, path: str = "/whip/demo/r/alice", body: bytes = OFFER.encode()) -> Answer:
        """Publish, and be connected if that was answered."""
        answer = await call(self.app, "POST", path, headers=[SDP_TYPE], body=body)
        if answer.status == 201:
            self.core.emit(self.core.sessions_count, ConnectedValue())
            for _ in range(2):
                await asyncio.wrap_future(self.media.call_behind(lambda: [self.core.sessions_count], lambda _: None))
                await asyncio.sleep(0)
        return answer


@pytest.fixture
async def door() -> AsyncIterator[Door]:
    built = Door()
    yield built
    built.media.stop()


async def test_publishing_answers_with_the_cores_sdp_and_a_path_of_its_own(door: Door) -> None:
    answer = await door.publish()

    location = answer.header("Location")
    assert answer.status == 201
    assert answer.body.startswith(b"v=0\r\ns=answer")
    assert location is not None
    assert location.startswith("/whip/demo/r/alice/")
    assert len(location.rpartition("/")[2]) >= 22, "an address that can be guessed"
    assert answer.header("ETag") not in (None, "")
    assert answer.header("Link") == '<stun:s.example:3478>; rel="ice-server"'
    assert [publisher.key.participant_id for publisher in door.rooms.publishers(AppId("demo"), RoomId("r"))] == [
        "alice"
    ]


async def test_the_apps_codecs_are_asked_of_the_core_in_their_order(door: Door) -> None:
    await door.publish()

    assert door.core.asked == ["h264", "vp8"]


async def test_the_stream_is_the_camera_unless_said_otherwise(door: Door) -> None:
    await door.publish()
    await door.publish("/whip/demo/r/alice?stream=screen")

    sources = [publisher.key.source for publisher in door.rooms.publishers(AppId("demo"), RoomId("r"))]
    assert sources == [TrackSource.CAMERA, TrackSource.SCREEN]


async def test_delete_ends_the_session_and_the_room(door: Door) -> None:
    location = (await door.publish()).header("Location")

    assert (await call(door.app, "DELETE", location)).status == 200
    assert (await call(door.app, "DELETE", location)).status == 404
    assert door.rooms.rooms_count == 0
    assert door.core.sessions_closed == [1]


async def test_a_replaced_session_answers_410_so_that_its_publisher_does_not_come_back(door: Door) -> None:
    older = (await door.publish()).header("Location") or ""
    await door.publish()

    answer = await call(door.app, "DELETE", older)
    assert (answer.status, "another publisher" in json.loads(answer.body)["detail"]) == (410, True)
    assert (await call(door.app, "DELETE", older.replace("alice", "bob"))).status == 404


async def test_a_session_is_reached_only_through_its_own_path(door: Door) -> None:
    location = (await door.publish()).header("Location")
    assert location is not None

    assert (await call(door.app, "DELETE", location.replace("alice", "bob"))).status == 404
    assert (await call(door.app, "DELETE", location[:-1])).status == 404
    assert door.rooms.publishers_count == 1


async def test_trickled_candidates_are_taken_under_the_current_entity_tag_only(door: Door) -> None:
    created = await door.publish()
    location, etag = created.header("Location"), created.header("ETag") or ""

    good = await call(door.app, "PATCH", location, headers=[FRAG_TYPE, ("If-Match", etag)], body=TRICKLE.encode())
    stale = await call(door.app, "PATCH", location, headers=[FRAG_TYPE, ("If-Match", '"x"')], body=TRICKLE.encode())

    assert (good.status, stale.status) == (204, 412)


async def test_a_restart_of_ice_is_answered_with_the_cores_fragment_and_a_new_entity_tag(door: Door) -> None:
    created = await door.publish()
    location, etag = created.header("Location"), created.header("ETag")

    answer = await call(door.app, "PATCH", location, headers=[FRAG_TYPE, ("If-Match", "*")], body=RESTART.encode())
    late = await call(door.app, "PATCH", location, headers=[FRAG_TYPE, ("If-Match", etag)], body=TRICKLE.encode())

    assert (answer.status, answer.body) == (200, b"a=ice-lite\r\na=ice-ufrag:oursysXw\r\n")
    assert answer.header("ETag") not in (None, etag)
    assert late.status == 412


async def test_a_restart_that_the_core_refuses_is_400_and_the_session_goes_on(door: Door) -> None:
    created = await door.publish()
    location, headers = created.header("Location"), [FRAG_TYPE, ("If-Match", "*")]

    answer = await call(door.app, "PATCH", location, headers=headers, body=b"a=ice-ufrag:new\r\na=ice-pwd:short\r\n")

    assert (answer.status, "too short" in json.loads(answer.body)["detail"]) == (400, True)
    assert (await call(door.app, "PATCH", location, headers=headers, body=TRICKLE.encode())).status == 204


async def test_get_is_answered_without_content(door: Door) -> None:
    location = (await door.publish()).header("Location")

    assert (await call(door.app, "GET", location)).status == 204
    assert (await call(door.app, "GET", "/whip/demo/r/alice")).status == 204


@pytest.mark.parametrize(
    "path",
    ["/whip/demo/r/a.b", "/whip/demo/r/" + "x" * 65, "/whip/demo/%2e%2e/alice", "/whip/demo/r/alice?stream=both"],
)
async def test_what_is_no_id_or_stream_is_400(door: Door, path: str) -> None:
    answer = await door.publish(path)

    assert answer.status == 400
    assert json.loads(answer.body)["detail"]
    assert door.rooms.rooms_count == 0


async def test_a_slash_in_an_id_leads_nowhere(door: Door) -> None:
    assert (await door.publish("/whip/demo/r/al%2Fice")).status in (404, 405)


async def test_an_offer_the_core_cannot_answer_is_400_with_its_reason(door: Door) -> None:
    door.codecs = (Codec.VP9,)

    answer = await door.publish()

    assert answer.status == 400
    assert "no common video codec" in json.loads(answer.body)["detail"]
    assert door.rooms.rooms_count == 0


async def test_a_full_recorder_is_503_and_says_when_to_come_back(door: Door) -> None:
    for room in ("r1", "r2"):
        assert (await door.publish(f"/whip/demo/{room}/alice")).status == 201

    answer = await door.publish("/whip/demo/r3/alice")

    assert (answer.status, answer.header("Retry-After")) == (503, "5")


async def test_a_stopped_media_thread_is_503(door: Door) -> None:
    door.media.stop()

    assert (await door.publish()).status == 503
    assert door.rooms.rooms_count == 0


async def test_a_body_without_end_is_cut_off(door: Door) -> None:
    assert (await door.publish(body=b"v=0\r\n" + b"a=x\r\n" * 20_000)).status == 413


async def test_a_body_that_does_not_arrive_in_time_is_408(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soloist.sources.whip.BODY_TIMEOUT_S", 0.01)

    assert (await call(door.app, "POST", "/whip/demo/r/alice", headers=[SDP_TYPE], stalls=True)).status == 408


async def test_health_says_what_is_going_on(door: Door) -> None:
    await door.publish()

    health = (await call(door.app, "GET", "/health")).json()

    assert (health["status"], health["rooms"], health["publishers"], health["udp_port"]) == ("ok", 1, 1, 5000)


async def test_streams_say_who_publishes_what_where(door: Door) -> None:
    await door.publish()
    await door.publish("/whip/demo/r/bob?stream=screen")

    streams = (await call(door.app, "GET", "/streams")).json()["streams"]

    names = ("app_id", "room_id", "participant_id", "source")
    assert [[stream[name] for name in names] for stream in streams] == [
        ["demo", "r", "alice", "camera"],
        ["demo", "r", "bob", "screen"],
    ]
    assert [track["kind"] for track in streams[0]["tracks"]] == ["audio", "video"]
    assert all(0 <= stream["age_s"] <= stream["room_age_s"] < 60 for stream in streams)
