"""What an attack is, and what became of one."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from attack.relay import Relay
    from attack.scene import Scene
    from attack.victim import Harm


@dataclass(frozen=True, slots=True)
class Cost:
    """What an attack took of the attacker, and what he got for it."""

    spent: str
    complaints: tuple[str, ...] = ()
    """What he should not have got."""
    job: str = ""
    """A job of his whose files are to be looked at."""
    said: str = ""
    """What his program said, for whoever wonders."""


@dataclass(frozen=True, slots=True)
class Attack:
    """One row of the table."""

    row: str
    """As docs/security.md numbers it."""
    name: str
    run: "Callable[[Scene, float, Relay], Cost]"
    """Attacks for so many seconds; the relay stands between the victim and the media port."""
    before: "Callable[[Scene], str] | None" = None
    """What he does before the victim's job begins, where that makes a difference."""
    sees: tuple[str, ...] = ()
    """Metrics of which one has to grow, or to be above zero, for the operator to see what is going on."""


@dataclass
class Outcome:
    """An attack that was carried out."""

    attack: Attack
    cost: Cost
    harm: "Harm"
    seen: str = ""
    rss_growth_mb: float = 0.0
    descriptors: int = 0
    health_share: float = 1.0
    complaints: list[str] = field(default_factory=list)
