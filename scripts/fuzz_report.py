"""Print what build/fuzz counted, as the table of docs/fuzzing.md."""

import json
from pathlib import Path


def main() -> None:
    """Print one row a target and the sum."""
    rows = [json.loads(path.read_text()) for path in sorted(Path("build/fuzz").glob("*.json"))]
    print("| target | seed | inputs | seconds |\n|---|---|---|---|")
    for row in rows:
        print(f"| {row['target']} | {row['seed']} | {row['inputs']:,} | {row['seconds']} |")
    print(f"| all | | {sum(row['inputs'] for row in rows):,} | {sum(row['seconds'] for row in rows):.0f} |")


if __name__ == "__main__":
    main()
