"""`make attack` in its short form: every attack for a moment, in turn, while somebody else is recorded."""

import pytest
from interop import pion
from support.instance import instance

from attack.catalogue import ATTACKS
from attack.overload import overload
from attack.run import carry_out_in_turn
from attack.scene import Scene
from fidelity.service import Service

SECONDS = 2.0
MEDIA = ("S1a", "S1b", "S4", "S5", "S6", "S12", "S14")
VICTIM_S = 75.0
"""How long a victim is recorded: all attacks of a group have to fit."""


@pytest.mark.parametrize("with_media", [True, False], ids=["media", "requests"])
def test_a_moment_of_every_attack_costs_its_victim_nothing_and_is_seen(tell, with_media: bool) -> None:
    pion.build()
    attacks = [attack for attack in ATTACKS if (attack.row in MEDIA) is with_media]
    with instance() as running:
        outcomes = carry_out_in_turn(attacks, Scene(Service(running)), SECONDS, VICTIM_S)
    tell(f"{len(outcomes)} attacks beside {outcomes[-1].harm.sent} pictures")
    assert [f"{one.attack.row} {one.attack.name}: {said}" for one in outcomes for said in one.complaints] == []


def test_honest_overload_loses_nothing_undeclared_and_is_over_soon(tell) -> None:
    with instance() as running:
        result = overload(Service(running), 60, 10)
    tell(str(result))
    assert result.complaints == []
