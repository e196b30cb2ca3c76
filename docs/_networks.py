"""The table of docs/networks.md, of a run of benchmarks/networks.py."""

import csv
from pathlib import Path

__all__ = ["table", "when"]

RUN = Path(__file__).parent / "networks.csv"
HEAD = ("family", "network", "layers", "read as", "input", "largest difference", "pixels")


def _rows() -> list[dict[str, str]]:
    with RUN.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def when() -> str:
    """Return the day of the run, and of how many networks and layers it was."""
    rows = _rows()
    layers = sum(int(row["layers"]) for row in rows)
    return f"{len(rows)} networks, {layers} layers, {rows[0]['date']}."


def table() -> str:
    """Return a row a network."""
    lines = [f"| {' | '.join(HEAD)} |", f"|{' --- |' * len(HEAD)}"]
    for row in _rows():
        cells = [
            row["family"], f"`{row['network']}`", row["layers"], row["layouts"], row["input"],
            row["difference"], row["pixels"],
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
