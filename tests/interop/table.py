"""The table `make interop` prints: one row per publisher, filled in by its test."""

from dataclasses import astuple, dataclass, field, fields


@dataclass
class Row:
    """What one publisher sent and what became of it."""

    publisher: str
    version: str = "?"
    codec: str = ""
    dtls: str = ""
    """Certificate and the role its offer asks for."""
    sent: str = "-"
    in_file: str = "-"
    offset: str = "-"
    """Median and worst distance of beep from flash, milliseconds."""
    verdict: str = "FAILED"


HEADS = Row("publisher", "version", "codec", "DTLS", "sent", "in file", "A/V ms", "verdict")


@dataclass
class Table:
    """The rows in the order in which they were reported."""

    rows: list[Row] = field(default_factory=list)

    def add(self, row: Row) -> Row:
        """Take up a row; it counts as failed until its test says otherwise."""
        self.rows.append(row)
        return row

    def render(self) -> str:
        """Return the rows below their heads, in columns."""
        lines = [astuple(row) for row in (HEADS, *self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(fields(Row)))]
        return "\n".join(
            "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) for line in lines
        )
