"""How far two numbers of one test set differ by its samples alone, as a store's reports have them.

    python benchmarks/spreads.py STORE [--study NAME] [--report table7 table7_accuracy table8]

Of every pair of cells of a report that are tested on the same samples: the deviation of their
difference over draws of the samples, in points, times the root of their number (c), and how far
draws move both alike. Pairs of one row are ablations of one layer. ``fstore report refresh`` makes
the cells. ``queries/findings/_tested.py`` keeps the largest c, for numbers without draws.
"""

import argparse
from collections.abc import Sequence
from itertools import combinations
from math import sqrt
from statistics import median
from typing import Any

import numpy as np

from fstore.queries.findings._check import study_facts
from fstore.queries.studies.study import load_study
from fstore.store import Store

HEAD = "report           pairs of    samples  pairs  correlation  median c  largest c"


def cells(store: Store, study: str, report: str) -> list[dict[str, Any]]:
    """Return the last cell of each row and column of a report that has draws."""
    rows = store.rows("reports", study=study, report=report).sort_by("computed_at").to_pylist()
    return list({(r["row"], r["col"]): r for r in rows if r["draws"]}.values())


def line(report: str, kind: str, n: int, pairs: Sequence[tuple[Any, Any]]) -> str:
    """Return a line of the table, of pairs of draws."""
    spreads = [float(np.nanstd(np.subtract(a, b), ddof=1)) * sqrt(n) for a, b in pairs]
    alike = median(float(np.corrcoef(a, b)[0, 1]) for a, b in pairs)
    return (
        f"{report:16s} {kind:10s} {n:8d} {len(pairs):6d} {alike:12.2f} {median(spreads):9.1f}"
        f" {max(spreads):10.1f}"
    )


def main() -> None:
    """Print a line for each report and kind of pair."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--study")
    parser.add_argument("--report", nargs="+", default=["table7", "table7_accuracy", "table8"])
    asked = parser.parse_args()
    store = Store.open(asked.store)
    study = load_study(store, asked.study)
    tested = study_facts(store, study, compute=False).tested
    print(HEAD)
    for report in asked.report:
        found = cells(store, study.name, report)
        by_kind: dict[tuple[str, int], list[tuple[Any, Any]]] = {}
        for a, b in combinations(found, 2):
            of, other = (tested.get(report, {}).get(cell["row"]) for cell in (a, b))
            if of is not None and other is not None and of.name == other.name:
                kind = "one row" if a["row"] == b["row"] else "two rows"
                n = of.n or a["n"]  # of detection the images stand in the cell
                by_kind.setdefault((kind, n), []).append((a["draws"], b["draws"]))
        for (kind, n), pairs in by_kind.items():
            print(line(report, kind, n, pairs))


if __name__ == "__main__":
    main()
