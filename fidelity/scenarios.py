"""What is tried: one value per row of the table."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from fidelity.link import Conditions
from fidelity.plan import Act, Phase, Plan
from fidelity.publisher import Sending
from fidelity.service import Rule
from soloist.model.media import Codec

PLAN, SENDING, RULE = Plan(10), Sending(), Rule()


@dataclass(frozen=True, slots=True)
class Scenario:
    """One publisher, its plan, its network, and how it is recorded."""

    name: str
    plan: Plan = PLAN
    sending: Sending = SENDING
    rule: Rule = RULE
    network: tuple[Conditions, ...] = ()
    """From when on the network is how; none: no proxy."""
    is_clean: bool = True
    """False: something is lost by chance, so more may be missing than is planned."""
    publisher: str = "pion"
    """Or soloist: `soloist publish`; or chromium."""
    room: str = ""
    """Shared with other scenarios of the same name for it; else one of its own."""
    stream: str = "camera"
    fields: dict[str, object] = field(default_factory=dict)
    """Of the job."""
    is_short: bool = False
    """True: among those that `make test` runs."""


def phase(act: Act, start_s: float, end_s: float, **more: int) -> Phase:
    """Return a phase by seconds."""
    return Phase(act, round(start_s * 1000), round(end_s * 1000), **more)


def clean() -> Iterator[Scenario]:
    """Yield every codec with sound as AAC and as it came."""
    for codec in (Codec.H264, Codec.VP8, Codec.VP9, Codec.AV1):
        for audio in ("aac", "copy"):
            is_short = (codec, audio) in ((Codec.H264, "aac"), (Codec.H264, "copy"))
            yield Scenario(
                f"clean {codec.name}, {audio}", sending=Sending(codec), rule=Rule(audio=audio), is_short=is_short
            )


def formats() -> Iterator[Scenario]:
    """Yield playlists, sound with redundancy, and clocks that are off."""
    yield Scenario("HLS", rule=Rule("HLS"), is_short=True)
    yield Scenario("HLS of VP9 (fMP4), copy", sending=Sending(Codec.VP9), rule=Rule("HLS", "copy"))
    fast = Sending(audio_ppm=200, video_ppm=-200)
    yield Scenario("clocks +200 and -200 ppm", Plan(30), fast)
    yield Scenario(
        "clocks -200 and +200 ppm, copy", Plan(30), Sending(audio_ppm=-200, video_ppm=200), Rule(audio="copy")
    )


def changes() -> Iterator[Scenario]:
    """Yield what participants do."""
    muting = (phase(Act.MUTE_AUDIO, 3, 4.3), phase(Act.MUTE_AUDIO, 6, 9), phase(Act.MUTE_VIDEO, 10, 13))
    yield Scenario("mute and unmute, aac", Plan(16, muting), is_short=True)
    yield Scenario("mute and unmute, copy", Plan(16, muting), rule=Rule(audio="copy"))
    yield Scenario("mute and unmute, HLS", Plan(16, muting), rule=Rule("HLS"))
    yield Scenario("camera off and on, twice", Plan(16, (phase(Act.MUTE_VIDEO, 3, 6), phase(Act.MUTE_VIDEO, 8, 11.5))))
    replaced = Plan(12, (phase(Act.REPLACE, 3, 6, identity=2), phase(Act.REPLACE, 8, 10, identity=3)))
    yield Scenario("replaced track", replaced)
    smaller = Plan(14, (phase(Act.REPLACE, 3, 6, scale=2), phase(Act.REPLACE, 9, 11, scale=2)))
    yield Scenario("resized picture, MP4", smaller)
    yield Scenario("resized picture, HLS", smaller, rule=Rule("HLS"))
    yield Scenario("late sound", Plan(10, (phase(Act.MUTE_AUDIO, 0, 3.3),)))
    yield Scenario("late picture", Plan(10, (phase(Act.MUTE_VIDEO, 0, 3),)))


def absences() -> Iterator[Scenario]:
    """Yield who goes and comes back."""
    away = Plan(14, (phase(Act.LEAVE, 4, 8),))
    yield Scenario("leave and rejoin within the merge gap", away, is_short=True)
    yield Scenario("leave and rejoin beyond the merge gap", away, rule=Rule(merge_s=0))
    often = tuple(phase(Act.LEAVE, 3 + 3 * n, 4.5 + 3 * n) for n in range(10))
    yield Scenario("ten reconnects", Plan(34, often))
    yield Scenario("ten reconnects, HLS", Plan(34, often), rule=Rule("HLS", merge_s=-1))
    paused = Plan(18, (phase(Act.SUSPEND, 3, 6), phase(Act.SUSPEND, 10, 13.5)))
    yield Scenario("suspended twice", paused)
    stalled = Plan(20, (phase(Act.STALL_AUDIO, 5, 9),))
    yield Scenario("RTP clock of sound stalls 4 s", stalled)
    yield Scenario("RTP clock of picture stalls 4 s", Plan(20, (phase(Act.STALL_VIDEO, 5, 9),)))


def networks() -> Iterator[Scenario]:
    """Yield bad networks; what they lose is drawn from the seed."""
    red = Sending(red=True)
    for percent in (1, 5, 20):
        lossy = (Conditions(delay_ms=20, loss=percent / 100),)
        name = f"{percent} % loss each way, RTX and RED"
        yield Scenario(name, Plan(14), red, network=lossy, is_clean=False, is_short=percent == 5)
    lossy = (Conditions(delay_ms=20, loss=0.05),)
    yield Scenario("5 % loss, no repair", Plan(14), Sending(nack=False, rtx=False), network=lossy, is_clean=False)
    yield Scenario(
        "5 % loss, no repair, VP8", Plan(14), Sending(Codec.VP8, nack=False, rtx=False), network=lossy, is_clean=False
    )
    yield Scenario("reordering 10 %, duplicates 5 %", network=(Conditions(delay_ms=10, reorder=0.1, duplicate=0.05),))
    yield Scenario("jitter 100 ms", network=(Conditions(delay_ms=20, jitter_ms=100),))
    dark = Plan(16, (phase(Act.BLACKOUT, 5, 10),))
    yield Scenario("5 s blackout", dark, network=(Conditions(delay_ms=20),))
    yield Scenario("5 s blackout, HLS, copy", dark, rule=Rule("HLS", "copy"), network=(Conditions(delay_ms=20),))
    lost = (phase(Act.LOSE_AUDIO, 4, 5.1), phase(Act.LOSE_VIDEO, 7, 8.2))
    yield Scenario("bursts of loss", Plan(12, lost), Sending(nack=False, rtx=False))


def layered() -> Iterator[Scenario]:
    """Yield simulcast: a layer that falls silent and returns."""
    sizes = ((160, 90), (320, 180), (640, 360))
    quiet = Plan(16, (phase(Act.SILENCE_LAYER, 5, 9, layer=2),))
    for codec in (Codec.H264, Codec.VP8):
        sending = Sending(codec, sizes)
        yield Scenario(
            f"simulcast, top layer silent for 4 s, {codec.name}", quiet, sending, fields={"select_stream_type": "HD"}
        )


def others() -> Iterator[Scenario]:
    """Yield the product's own publisher, two streams of one participant, and a recorder that is killed."""
    for audio in ("aac", "copy"):
        yield Scenario(f"soloist publish, {audio}", Plan(10), rule=Rule(audio=audio), publisher="soloist")
    yield Scenario("camera beside a screen", Plan(12), room="both")
    screen = {"video_type": "SCREENSTREAM"}
    yield Scenario("screen beside a camera", Plan(12), Sending(identity=9), room="both", stream="screen", fields=screen)
    yield Scenario("recorder killed", Plan(20, (phase(Act.KILL, 6, 12),)))


def browsers() -> Iterator[Scenario]:
    """Yield what people do in Chromium; one at a time, since a browser needs a core."""
    page = "chromium"
    picture = Sending(Codec.H264, ((640, 360),))
    off = (phase(Act.MUTE_AUDIO, 3, 5), phase(Act.MUTE_VIDEO, 7, 10))
    yield Scenario("Chromium: microphone and camera off and on", Plan(13, off), picture, publisher=page)
    replaced = (phase(Act.REPLACE, 3, 6, scale=2), phase(Act.LEAVE, 8, 11))
    vp8 = Sending(Codec.VP8, ((640, 360),))
    yield Scenario("Chromium: VP8, track of half the size, leave, rejoin", Plan(14, replaced), vp8, publisher=page)
    steps = (Conditions(delay_ms=10), Conditions(6000, delay_ms=10, kbps=700), Conditions(14_000, delay_ms=10))
    layers = Sending(Codec.VP8, ((160, 90), (320, 180), (640, 360)))
    yield Scenario(
        "Chromium: simulcast, bandwidth down and up",
        Plan(22),
        layers,
        network=steps,
        is_clean=False,
        publisher=page,
    )
    lossy = (Conditions(delay_ms=20, loss=0.05),)
    yield Scenario("Chromium: 5 % loss", Plan(12), picture, network=lossy, is_clean=False, publisher=page)


def all_scenarios() -> list[Scenario]:
    """Return every scenario, in the order of the table."""
    groups = (clean, formats, changes, absences, networks, layered, others, browsers)
    return [scenario for group in groups for scenario in group()]
