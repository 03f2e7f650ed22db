"""The table `make fidelity` prints: one row per scenario."""

from collections import Counter

from fidelity.checker import Cause, Verdict

HEADS = (
    "scenario",
    "A/V median",
    "worst",
    "after faults",
    "sent",
    "in file",
    "missing",
    "damaged",
    "declared",
    "edge",
    "causes",
    "copied",
    "length",
    "verdict",
)


def row(name: str, verdict: Verdict) -> tuple[str, ...]:
    """Return a scenario's row; times are milliseconds."""
    after = f"{max(verdict.after_ms, key=abs):+.1f} ({len(verdict.after_ms)})" if verdict.after_ms else "-"
    causes = f"{verdict.causes_right}/{len(verdict.causes)}" if verdict.causes else "-"
    return (
        name,
        f"{verdict.median_ms:.1f}",
        f"{verdict.worst_ms:+.1f}",
        after,
        str(verdict.sent),
        str(verdict.recorded),
        str(verdict.missing),
        str(verdict.damaged),
        str(verdict.declared),
        f"{verdict.edge_ms:.1f}",
        causes,
        verdict.copied,
        f"{verdict.length_ms:+.1f}",
        "FAILED" if verdict.complaints or verdict.wrong_causes else "ok",
    )


def render(rows: list[tuple[str, ...]], heads: tuple[str, ...] = HEADS) -> str:
    """Return rows below their heads, in columns; the first is words, the rest are figures."""
    lines = [heads, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return "\n".join(
        "  ".join(text.rjust(width) if column else text.ljust(width) for column, (text, width) in enumerate(cells))
        for cells in (list(zip(line, widths, strict=True)) for line in lines)
    )


def confusion(causes: list[Cause]) -> str:
    """Return how often each act was declared as what."""
    said = sorted({cause.said for cause in causes})
    counts = Counter((cause.act, cause.planned, cause.said) for cause in causes)
    rows = [
        (f"{act} ({planned})", *(str(counts[act, planned, word] or "-") for word in said))
        for act, planned in sorted({(cause.act, cause.planned) for cause in causes})
    ]
    return render(rows, ("interruption (its cause)", *(f"declared {word}" for word in said)))
