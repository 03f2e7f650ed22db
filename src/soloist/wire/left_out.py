"""Frames of one track that we left out, and where the time they were in begins: none of it may pass for a gap.

The core drops frames that it has no room for and says, in the order of the session, how many; a timeline drops those
that claim more time than has passed. How long they would have lasted nobody knows: the stretch without them goes from
the last frame kept to the next one. Pure; nanoseconds are of arrival or from the recording's origin, as named.
"""

from dataclasses import dataclass, field

from soloist.model.media import EncodedFrame

OVERLOAD = "overload"
"""The recorder did not keep up, or the session sent more than its share."""
PICTURE_TOO_LARGE = "picture_too_large"
"""A picture has more pixels than are kept, or transcoded."""
CLOCK_TOO_FAST = "clock_too_fast"
"""Time stamps claimed more time than had passed, for more frames than that time holds."""


@dataclass(slots=True)
class Loss:
    """Frames left out one after another."""

    count: int
    came_ns: int
    """Arrival of what came before them; 0 if nothing had."""
    detail: str

    def followed_by(self, later: "Loss | None") -> "Loss":
        """Return both as one; what began it gives its name."""
        return Loss(self.count + later.count, self.came_ns, self.detail) if later else self


@dataclass(slots=True)
class LeftOut:
    """What was left out of one track and is not declared yet."""

    told_ns: int = -(1 << 62)
    """Up to where what is missing has been declared before a next frame showed it, from the origin."""
    _coming: Loss | None = None
    """Before a frame that has not come yet."""
    _before: dict[int, Loss] = field(default_factory=dict)
    """Before frames that came and are not placed yet, by their RTP time."""
    _due: Loss | None = None
    """Before the next one that is kept."""

    def note(self, loss: Loss) -> None:
        """Take note that frames were left out after those that came so far."""
        self._coming = self._coming.followed_by(loss) if self._coming else loss

    def came(self, frame: EncodedFrame) -> None:
        """Learn which frame came next; it may have to wait for its place."""
        if self._coming is not None:
            before = self._before.get(frame.rtp_ticks)
            self._before[frame.rtp_ticks] = before.followed_by(self._coming) if before else self._coming
            self._coming = None

    def reached(self, frame: EncodedFrame) -> bool:
        """Learn that a frame is to be placed; return whether it may refer to what was left out just before it."""
        loss = self._before.pop(frame.rtp_ticks, None) if self._before else None
        if loss is not None:
            self.missed(loss)
        return loss is not None

    def missed(self, loss: Loss) -> None:
        """Take note that frames were left out just before the one that is placed next."""
        self._due = self._due.followed_by(loss) if self._due else loss

    @property
    def is_due(self) -> bool:
        """True if the next frame that is kept ends a stretch in which frames were left out."""
        return self._due is not None

    def take(self) -> Loss | None:
        """Return what was left out before the frame that is kept now."""
        due, self._due = self._due, None
        return due

    def take_all(self) -> Loss | None:
        """Return everything that was left out and not told: no frame follows it."""
        losses = [loss for loss in (self._due, *self._before.values(), self._coming) if loss is not None]
        self._due = self._coming = None
        self._before.clear()
        whole = losses[0] if losses else None
        for loss in losses[1:]:
            assert whole is not None, "there is a first one"  # noqa: S101 - for the type checker
            whole = whole.followed_by(loss)
        return whole
