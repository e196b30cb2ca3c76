"""What became of faults: one row a kind, and the table of all kinds."""

import csv
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, fields
from pathlib import Path

__all__ = [
    "CAMPAIGNS", "NUMBERS", "Figures", "allow", "campaign", "draw_seed", "read_csv", "rounds",
    "write_csv",
]  # fmt: skip


@dataclass
class Figures:
    """Counts of one kind of fault; docs/reliability.md says what each word means.

    ``notes`` tell what was wrong, a line each, for whoever runs the campaign.
    """

    kind: str
    injected: int = 0
    harmless: int = 0
    told: int = 0
    by_verify: int = 0
    lost: int = 0
    doubled: int = 0
    stale: int = 0
    left: int = 0
    silent: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def wrong(self) -> int:
        """How many things went wrong: all that should be 0."""
        return self.lost + self.doubled + self.stale + self.left + self.silent

    def row(self) -> dict[str, str | int]:
        """Return the kind and its counts."""
        return {name: getattr(self, name) for name in ("kind", *NUMBERS)}


NUMBERS = tuple(f.name for f in fields(Figures) if f.name not in {"kind", "notes"})

Campaign = Callable[[Path, int, int], Figures]
"""A folder to work in, how many faults, and the seed of all that is drawn."""


@dataclass(frozen=True)
class Entry:
    """A campaign, and how many faults it injects if nobody says otherwise."""

    run: Campaign
    n: int
    small: int


CAMPAIGNS: dict[str, Entry] = {}
_end = [float("inf")]


def campaign(name: str, *, n: int, small: int) -> Callable[[Campaign], Campaign]:
    """Put a campaign into the table; ``small`` faults are injected by the tests."""

    def add(run: Campaign) -> Campaign:
        assert name not in CAMPAIGNS, name
        CAMPAIGNS[name] = Entry(run, n, small)
        return run

    return add


def rounds(n: int) -> Iterator[int]:
    """Count to n; end sooner if the time that :func:`allow` gave is over, but do one at least."""
    for i in range(n):
        if i and time.monotonic() > _end[0]:
            return
        yield i


def allow(seconds: float) -> None:
    """Let campaigns begin no further shot after some seconds from now."""
    _end[0] = time.monotonic() + seconds


def draw_seed(seed: int, *parts: object) -> int:
    """Return a seed that differs from kind to kind and from shot to shot."""
    text = json.dumps([seed, *map(str, parts)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def write_csv(path: Path, rows: Iterable[dict[str, str | int]]) -> None:
    """Write a table of kinds; rows of other kinds that the file has stay, in their order."""
    merged = {row["kind"]: row for row in read_csv(path)} if path.exists() else {}
    merged |= {str(row["kind"]): {k: str(v) for k, v in row.items()} for row in rows}
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["kind", *NUMBERS], restval="0", lineterminator="\n")
        writer.writeheader()
        writer.writerows(merged.values())


def read_csv(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table of kinds."""
    yield from csv.DictReader(path.read_text(encoding="utf-8").splitlines())
