"""Whether weights of 0 are optimal, for every SVM of a store's Tables 5 and 10: three answers.

    python benchmarks/no_direction.py STORE [--study NAME] [--report table5 table10]

Beside what the table says stand the exact test, asked also where the table has no need of it, and a
linear program that shares no code with either (``tests/_optimality.py``). They disagree if not all
three are the same, or if weights are 0 and AP is not the share of positives. Those SVMs are printed
and the exit status is 1. ``turns`` is the most that the exact test took; ``by weight`` is the most
divided by the number of weights (the bias is one).
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

from _optimality import C, steepest
from fstore.queries.cells.needs import Need
from fstore.queries.methods import no_direction as exact
from fstore.queries.methods.filters import factor
from fstore.queries.methods.subsets import class_subsets
from fstore.queries.reports import REPORTS
from fstore.queries.reports._roles import box_responses
from fstore.queries.studies.study import load_study
from fstore.store import Store

FALLS = 1e-6
"""How steeply the objective has to fall, as a share of C, to count."""


@dataclass(frozen=True, slots=True)
class Svm:
    """One SVM of a table, and what three ways say of its best weights: whether they are 0."""

    name: str
    filters: int
    by_table: bool
    by_test: bool | None
    by_program: bool
    turns: int
    is_prior: bool

    @property
    def agreed(self) -> bool:
        """Return whether all say the same, and AP is what follows."""
        same = self.by_table is self.by_test is self.by_program
        return same and (self.is_prior or not self.by_table)


def svms(store: Store, need: Need) -> Iterator[Svm]:
    """Yield every SVM of one row of a table: each class, each number of filters."""
    boxes = box_responses(store, need)
    fitted, test = boxes.split.fitted, boxes.split.test
    X = boxes.X[fitted] * factor(boxes.X[fitted])
    for name, subsets in class_subsets(boxes).items():
        c = boxes.classes.index(name)
        y, held_out = boxes.Y[fitted, c], boxes.Y[test, c]
        prior = (held_out > 0).sum() / (held_out != 0).sum()
        for k, none, ap in zip(subsets.sizes, subsets.no_direction, subsets.ap_11, strict=True):
            features = X[y != 0][:, subsets.ranking[:k]]
            by_test, turns = tested(features, y[y != 0])
            by_program = steepest(features, y[y != 0]) > -FALLS
            is_prior = abs(ap - prior) < 1e-12
            yield Svm(name, k, none, by_test, by_program, turns, is_prior)


def tested(X: NDArray[np.float32], y: NDArray[np.int8]) -> tuple[bool | None, int]:
    """Ask the exact test; return its answer and its turns. All but the last end in a call."""
    upper = np.where(y > 0, 2 * C, C)
    with patch.object(exact, "_nearest", wraps=vars(exact)["_nearest"]) as called:
        answer = exact.has_no_direction(X.astype(np.float64), y.astype(np.float64), upper)
    return answer, called.call_count + 1


def main() -> int:
    """Print a row for each table and checkpoint, and the SVMs that are not agreed on."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--study", help="default: the only one")
    parser.add_argument("--report", nargs="*", default=["table5", "table10"])
    given = parser.parse_args()
    store = Store.open(given.store)
    study = load_study(store, given.study)
    print("| table | row | SVMs | zero | not zero | disagreements | turns | by weight |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    disagreed = []
    for name in given.report:
        for need in REPORTS[name].meta["needs"](store, study):
            found = list(svms(store, need))
            zero = sum(one.by_program for one in found)
            wrong = [one for one in found if not one.agreed]
            turns = max(one.turns for one in found)
            share = max(one.turns / (one.filters + 1) for one in found)
            print(
                f"| {name} | {need.row} | {len(found)} | {zero} | {len(found) - zero} "
                f"| {len(wrong)} | {turns} | {share:.1f} |",
                flush=True,
            )
            disagreed += wrong
    for one in disagreed:
        print(one)
    return 1 if disagreed else 0


if __name__ == "__main__":
    sys.exit(main())
