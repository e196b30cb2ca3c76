"""A world for schedules: a clock that only sleeping moves, and reports that do as told."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from fstore.queries.cells.noted import note_refresh
from fstore.queries.refresh.driver import Brought
from fstore.queries.refresh.standing import State
from fstore.queries.schedule.loop import Surroundings
from fstore.queries.studies.study import Study, set_study
from fstore.store import Store

__all__ = ["START", "World", "became", "put_cells", "set_small_study"]

START = datetime(2026, 11, 25, 12, tzinfo=UTC)

STUDY = 'name = "small"\nnetwork = "net"\nlayers = ["fc"]\n'


def set_small_study(store: Store) -> None:
    """Set a study that no report is asked about."""
    set_study(store, STUDY)


def became(
    report: str, state: str = "computed", computed: int = 1, reused: int = 0, error: str = ""
) -> Brought:
    """Return what became of a report."""
    return Brought(report, State(state), computed, reused, error=error)


def put_cells(store: Store, report: str, values: dict[str, float], at: datetime) -> None:
    """Store a report of study ``small`` as a refresh at some time leaves it; cells by row."""
    same = {"study": "small", "report": report, "col": "c", "computed_at": at}
    same |= {"code_version": "v", "inputs": "{}"}
    prints = {row: f"{report} {row} {value} {at}" for row, value in values.items()}
    store.append(
        "reports",
        [{**same, "row": r, "value": v, "fingerprint": prints[r]} for r, v in values.items()],
    )
    note_refresh(store, "small", report, cells=list(prints.values()), refresh_id="r", at=at)


@dataclass
class World:
    """Time, sleep and reports; ``acts`` are done by one call of refresh after the other.

    An act is called with the store and the names asked for and returns what became of the reports;
    the last act is repeated. ``stop_at`` is when the process is told to stop.
    """

    now: datetime = START
    stop_at: datetime = START + timedelta(days=365)
    acts: "list[Callable[[Store, Sequence[str]], Iterable[Brought]]]" = field(default_factory=list)
    asked: list[tuple[datetime, tuple[str, ...]]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def around(self) -> Surroundings:
        """The surroundings of a schedule in this world."""
        return Surroundings(
            refresh=self.refresh, wait=self.wait, say=self.said.append, clock=lambda: self.now
        )

    @property
    def times(self) -> list[str]:
        """When refresh was called, in UTC."""
        return [f"{at:%d %H:%M}" for at, _ in self.asked]

    def wait(self, seconds: float) -> bool:
        """Let time pass, until the end at most."""
        self.now = min(self.now + timedelta(seconds=seconds), max(self.stop_at, self.now))
        return self.now >= self.stop_at

    def refresh(
        self,
        store: Store,
        study: Study,
        names: Sequence[str],
        *,
        on_progress: Callable[[str, int, int, str], None],
        on_wait: Callable[[str], None],  # noqa: ARG002 - here nobody else is at work
    ) -> Iterator[Brought]:
        """Do the next act."""
        assert study.name == "small"
        self.asked.append((self.now, tuple(names)))
        act = self.acts.pop(0) if len(self.acts) > 1 else self.acts[0] if self.acts else None
        for done in act(store, names) if act else [became("table6")]:
            if done.state == "computed":
                on_progress(done.report, 1, 1, "")
            yield done
