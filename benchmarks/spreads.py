"""How far two numbers of one test set differ by its samples alone, as a store's reports have them.

    python benchmarks/spreads.py STORE [--study NAME] [--report table7 table7_accuracy]

Of every pair of cells of a report that are tested on the same samples: the deviation of their
difference over draws of the samples, in points, times the root of their number. It is printed for
pairs of one layer (ablations of it) and of two. ``fstore report refresh`` makes the cells; what is
not stored, or stale, is not there. ``queries/findings/_tested.py`` keeps the largest.
"""

import argparse
from itertools import combinations
from math import sqrt
from statistics import median

import numpy as np

from fstore.queries.findings._check import study_facts
from fstore.queries.findings._numbers import Number
from fstore.queries.studies.study import load_study
from fstore.store import Store


def spread(a: Number, b: Number) -> float:
    """Return the deviation of a difference of draws times the root of the samples."""
    n = a.tests.n if a.tests is not None and a.tests.n else a.n or 0
    return float(np.nanstd(np.subtract(a.draws, b.draws), ddof=1)) * sqrt(n)


def correlation(a: Number, b: Number) -> float:
    """Return how far draws move two numbers alike."""
    both = np.isfinite(a.draws) & np.isfinite(b.draws)
    return float(np.corrcoef(np.asarray(a.draws)[both], np.asarray(b.draws)[both])[0, 1])


def main() -> None:
    """Print a line for each report and kind of pair."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store")
    parser.add_argument("--study")
    parser.add_argument("--report", nargs="+", default=["table7", "table7_accuracy", "table8"])
    asked = parser.parse_args()
    store = Store.open(asked.store)
    facts = study_facts(store, load_study(store, asked.study), compute=False)
    print("report           pairs of  samples  pairs  correlation  median c  largest c")
    for report in asked.report:
        cells = [
            (row, number)
            for row in facts.names(report)
            for number in facts.row(report, row).values()
            if number.draws and number.tests is not None
        ]
        for kind, wanted in (("one layer", True), ("two layers", False)):
            pairs = [
                (a, b)
                for (row, a), (other, b) in combinations(cells, 2)
                if (row == other) is wanted and a.tests and b.tests and a.tests.name == b.tests.name
            ]
            if pairs:
                found = [spread(a, b) for a, b in pairs]
                alike = median(correlation(a, b) for a, b in pairs)
                n = pairs[0][0].tests.n or pairs[0][0].n if pairs[0][0].tests else None
                print(
                    f"{report:16s} {kind:10s} {n!s:>6s} {len(pairs):6d}  {alike:11.2f}"
                    f"  {median(found):8.1f}  {max(found):9.1f}"
                )


if __name__ == "__main__":
    main()
