"""Under load side outputs go one by one, the newest first, and come back one by one; nothing else is touched. R44."""

from soloist.model.admission import LoadState
from soloist.service.shedding import RESTORE_STEPS, Shedding


class Outputs:
    """Side outputs by name, the newest last."""

    def __init__(self, *names):
        self.running, self.shed = list(names), []

    def shed_newest(self):
        if self.running:
            self.shed.append(self.running.pop())
            return True
        return False

    def restore_one(self):
        if self.shed:
            self.running.append(self.shed.pop())
            return True
        return False


def test_one_a_second_is_given_up_the_newest_first_until_there_is_none():
    outputs = Outputs("a", "b", "c")
    shedding = Shedding(outputs)

    for state in (LoadState.OK, LoadState.SHEDDING, LoadState.FULL):
        shedding.step(state)
    assert outputs.running == ["a"]
    for _ in range(5):
        shedding.step(LoadState.FULL)

    assert (outputs.running, outputs.shed, shedding.shed_count) == ([], ["c", "b", "a"], 3)


def test_they_come_back_one_by_one_and_only_after_quiet():
    outputs = Outputs("a", "b")
    shedding = Shedding(outputs)
    for _ in range(2):
        shedding.step(LoadState.SHEDDING)

    for _ in range(RESTORE_STEPS - 1):
        shedding.step(LoadState.OK)
    assert outputs.running == []
    shedding.step(LoadState.OK)
    assert outputs.running == ["a"]
    shedding.step(LoadState.SHEDDING)
    assert outputs.running == []
    for _ in range(2 * RESTORE_STEPS):
        shedding.step(LoadState.OK)

    assert outputs.running == ["a", "b"]
    assert (shedding.shed_count, shedding.restored_count) == (3, 3)
