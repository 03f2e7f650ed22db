"""Hold the tree to what other tools cannot see: module and function sizes, and no `async` in pure rooms.

Prints one line per finding and exits 1 if there is any.
"""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

MODULE_LINES_MAX = 500
FUNCTION_LINES_MAX = 60
PURE_ROOMS = ("src/soloist/model", "src/soloist/wire")
CODE = ("*.py", "*.rs", "*.js", "*.sh")


def long_modules(root: Path) -> Iterator[str]:
    """Yield every source file over the limit."""
    folders = [root / name for name in ("src", "tests", "crates", "demo", "scripts", "benchmarks", "fidelity")]
    for path in (path for folder in folders for pattern in CODE for path in folder.rglob(pattern)):
        count = len(path.read_text().splitlines())
        if count > MODULE_LINES_MAX and not {"target", "vendor"} & set(path.parts):
            yield f"{path.relative_to(root)}: {count} lines, at most {MODULE_LINES_MAX}"


def long_functions(root: Path) -> Iterator[str]:
    """Yield every Python function over the limit."""
    for path in (root / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                count = (node.end_lineno or node.lineno) - node.lineno + 1
                if count > FUNCTION_LINES_MAX:
                    yield f"{path.relative_to(root)}:{node.lineno}: {node.name} has {count} lines"


def async_in_pure_rooms(root: Path) -> Iterator[str]:
    """Yield every coroutine in a room that must not have one."""
    for path in (path for room in PURE_ROOMS for path in (root / room).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
                yield f"{path.relative_to(root)}:{node.lineno}: async in a pure room"


def main() -> None:
    """Print all findings."""
    root = Path(__file__).parent.parent
    findings = [*long_modules(root), *long_functions(root), *async_in_pure_rooms(root)]
    print("\n".join(findings) or "structure: nothing to report")
    sys.exit(bool(findings))


if __name__ == "__main__":
    main()
