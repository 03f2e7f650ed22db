"""How many side processes of one kind there may be at once: in all, and for one project. Pure counting."""

from dataclasses import dataclass, field


@dataclass(slots=True)
class Places:
    """Those of one recorder; used on one thread."""

    in_all_max: int = 1 << 30
    project_max: int = 1 << 30
    taken: dict[str, int] = field(default_factory=dict)
    """By project; none is 0."""
    refused_count: int = 0
    """How often somebody began to wait for one."""

    def take(self, project: str) -> bool:
        """Take one and return True, if there is one for this project."""
        of_project = self.taken.get(project, 0)
        if of_project >= self.project_max or sum(self.taken.values()) >= self.in_all_max:
            return False
        self.taken[project] = of_project + 1
        return True

    def give_back(self, project: str) -> None:
        """Give one back that was taken."""
        self.taken[project] -= 1
        if not self.taken[project]:
            del self.taken[project]
