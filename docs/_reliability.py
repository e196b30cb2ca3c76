"""The table of docs/reliability.md, of a run of benchmarks/faults.py."""

import csv
from pathlib import Path

__all__ = ["table"]

RUN = Path(__file__).parent / "reliability.csv"


def table() -> str:
    """Return a row a kind of fault, with its counts."""
    with RUN.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    head = [name.replace("_", " ") for name in rows[0]]
    lines = [f"| {' | '.join(head)} |", f"|{' --- |' * len(head)}"]
    lines += [f"| {' | '.join(row.values())} |" for row in rows]
    return "\n".join(lines)
