"""A report whose cells only wait: for what happens while a report is being computed."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from fstore.queries.cells.needs import Cell, Need
from fstore.queries.reports import REPORTS
from fstore.queries.studies.study import Study, parse_study
from fstore.registry import Entry
from fstore.store import Store

N = 8
STUDY = 'name = "small"\nnetwork = "net"\nlayers = ["fc"]'


def slow_study() -> Study:
    """Return a study that binds nothing: the report needs nothing."""
    return parse_study(STUDY)


def slow_entry(wait: Callable[[], object]) -> Entry[Any]:
    """Return what the table of reports is to have of it; ``wait`` is called before each cell."""

    def slow(store: Store, needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
        """Yield cells whose value is their number, and keep count of them in a file."""
        for need in needs:
            wait()
            with log(store).open("a") as file:
                file.write(f"{need.row}\n")
            print(need.row, flush=True)
            yield need, [Cell(need.row, "value", float(need.row))]

    meta = {"title": "Slow", "answers": "?", "paper": None, "needs": _needs}
    return Entry("slow", slow, meta)


def add_slow() -> None:
    """Register it, to take some 20th of a second a cell."""
    REPORTS._entries["slow"] = slow_entry(lambda: time.sleep(0.05))


def computed(store: Store) -> list[str]:
    """Return the cells that were computed, one as often as it was."""
    return log(store).read_text().split() if log(store).exists() else []


def log(store: Store) -> Path:
    """Return the file that counts."""
    return store.path.parent / "computed.txt"


def _needs(_store: Store, _study: Study) -> list[Need]:
    return [Need(str(i), "", (), (("i", i),)) for i in range(N)]
