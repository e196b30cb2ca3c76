"""Seconds of a refresh with all cells stale: in this process, and by one and two workers of Ray.

    OMP_NUM_THREADS=1 python benchmarks/ray_reports.py STORE [REPORT ...] [--rounds 3]

STORE is copied, and each run is of the study under another name, so that all cells are stale.
Starting Ray is counted on its own. The cells of all runs are compared bit for bit.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import msgspec
from same_reports import cells

import fstore
from fstore.queries.refresh.driver import brought
from fstore.queries.refresh.elsewhere import Elsewhere
from fstore.queries.studies.study import load_study
from fstore.workflows.cells_on_ray import RayExecutor
from fstore.workflows.engines import connected

CASES = (0, 1, 2)
"""Workers; none is this process."""


@dataclass
class Took:
    """Seconds of a run: those that starting Ray took, and all others."""

    starting: float = 0.0
    refreshing: float = 0.0


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("reports", nargs="*")
    parser.add_argument("--rounds", type=int, default=3, help="medians are printed")
    given = parser.parse_args()
    took: dict[int, list[Took]] = {case: [] for case in CASES}
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "store"
        shutil.copytree(given.store, copy)
        for turn in range(given.rounds):
            for case in CASES:
                took[case].append(refresh(copy, given.reports, case, study=f"{turn} {case}"))
                print(turn, case, took[case][-1], file=sys.stderr, flush=True)
        by_run = defaultdict(dict)
        for (study, *cell), values in cells(copy).items():
            by_run[study][tuple(cell)] = values
    first = by_run["0 0"]
    differ = sum(
        by_run[f"{turn} {case}"] != first for turn in range(given.rounds) for case in CASES
    )
    table(took)
    others = given.rounds * len(CASES) - 1
    print(f"\n{len(first)} cells; {differ} of {others} runs differ from the first")
    return 1 if differ else 0


def refresh(path: Path, reports: Sequence[str], workers: int, *, study: str) -> Took:
    """Refresh the study of a store under another name: all cells are computed."""
    store, took = fstore.open(path), Took()
    renamed = msgspec.structs.replace(load_study(store), name=study)
    where = Elsewhere(partial(cluster, workers, took)) if workers else None
    began = time.perf_counter()
    done = list(brought(store, renamed, reports, elsewhere=where))
    took.refreshing = time.perf_counter() - began - took.starting
    if failed := [d for d in done if d.error and d.state == "failed"]:
        raise SystemExit(f"{failed[0].report}: {failed[0].error}")
    return took


@contextmanager
def cluster(workers: int, took: Took) -> Iterator[RayExecutor]:
    """Start a Ray of some workers, and note how long that takes."""
    began = time.perf_counter()
    with connected(cpus=workers):
        took.starting = time.perf_counter() - began
        yield RayExecutor()


def table(took: dict[int, list[Took]]) -> None:
    """Print medians, and how many times as fast as this process."""
    medians = {case: statistics.median(t.refreshing for t in own) for case, own in took.items()}
    print("| | seconds | to start Ray | times as fast |\n| --- | ---: | ---: | ---: |")
    for case, seconds in medians.items():
        start = statistics.median(t.starting for t in took[case])
        name = f"{case} workers" if case else "this process"
        print(f"| {name} | {seconds:.1f} | {start:.1f} | {medians[0] / seconds:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
