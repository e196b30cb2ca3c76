"""Speed of single-filter AP and of entropy curves over the boxes of a data set, from a store.

    python benchmarks/selectivity.py [--boxes 12000] [--rounds 3]

conv5 of CaffeNet (256 filters, 6x6 places) at the paper's density, boxes of 20 classes. From
``fstore.open`` to the answer:

- AP of every filter for every class (section 4.1), from the summary column;
- the area under every filter's entropy curve (AuE) by label entropy, exactly, over all scores;
- the same on a grid of thresholds, by one SQL group-by, and how far off it is against its bound;
- exact AuE by the weighted and the spMax entropy.

Areas of some filters are compared with those of histograms that are counted at every score.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _synthetic import labelled_store, single_labels
from numpy.typing import NDArray

import fstore
from fstore.queries.analyses.selectivity import AskedPart, selectivity
from fstore.queries.analyses.single_filters import AskedRanking, single_filters
from fstore.store import Store
from fstore.store.features import read_features
from fstore.store.files import Partition
from fstore.types import Split

Floats = NDArray[np.float32]
ASKED: dict[str, Any] = {"layer": "conv5", "ckpt": "synthetic", "dataset": "drawn"}
GRID = 100
CHECKED = (0, 100, 255)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--boxes", type=int, default=12_000)
    parser.add_argument("--rounds", type=int, default=3, help="medians are printed")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "store"
        Y = single_labels(given.boxes + 1)
        split = Split("official", 0, (*("test",) * given.boxes, "train"))
        place = labelled_store(folder, "conv5", Y, [split], view="gt")
        print(f"conv5: {given.boxes:,} boxes, 256 filters, 36 places, 20 classes\n")
        measure(folder, given.rounds)
        check(fstore.open(folder), place, Y[:-1])


def measure(folder: Path, rounds: int) -> None:
    """Print seconds of each question, each asked of a store that was just opened."""
    print("| question | wall s | CPU s |\n| --- | ---: | ---: |")
    questions: dict[str, Callable[[Store], Any]] = {
        "AP of 256 filters x 20 classes": lambda s: single_filters(s, AskedRanking(**ASKED), top=0),
        "AuE, label, exact": lambda s: selectivity(s, AskedPart(**ASKED)),
        f"AuE, label, grid of {GRID} in SQL": lambda s: selectivity(
            s, AskedPart(**ASKED), grid=GRID
        ),
        "AuE, weighted, exact": lambda s: selectivity(s, AskedPart(**ASKED), measure="weighted"),
        "AuE, spMax, exact": lambda s: selectivity(s, AskedPart(**ASKED), measure="sp_max"),
    }
    for name, ask in questions.items():
        times = [timed(folder, ask) for _ in range(rounds)]
        wall, cpu = (statistics.median(column) for column in zip(*times, strict=True))
        print(f"| {name} | {wall:.2f} | {cpu:.2f} |", flush=True)


def timed(folder: Path, ask: Callable[[Store], Any]) -> tuple[float, float]:
    """Return wall and CPU seconds, of all threads."""
    wall, cpu = time.perf_counter(), time.process_time()
    ask(fstore.open(folder))
    return time.perf_counter() - wall, time.process_time() - cpu


def check(store: Store, place: Partition, Y: NDArray[np.int8]) -> None:
    """Print how far answers are from other routes."""
    exact, grid = (
        {r["channel"]: r for r in selectivity(store, AskedPart(**ASKED), grid=g)} for g in (0, GRID)
    )
    off = max(abs(exact[c]["aue"] - grid[c]["aue"]) for c in exact)
    bound = max(row["bound"] for row in grid.values())
    within = all(abs(exact[c]["aue"] - r["aue"]) <= r["bound"] + 1e-9 for c, r in grid.items())
    print(
        f"\ngrid against exact: {off:.1e} nats apart at most, largest bound {bound:.1e}, ", end=""
    )
    print("each within its own bound" if within else "NOT each within its own bound")
    for channels, X in read_features(store, place, channels=CHECKED, samples=np.arange(len(Y))):
        for channel, maps in zip(channels.tolist(), X.swapaxes(0, 1), strict=True):
            area = counted_area(maps, Y.argmax(axis=1))
            print(f"filter {channel}: AuE {exact[channel]['aue']:.9f}, counted {area:.9f}")


def counted_area(maps: Floats, labels: NDArray[np.int64]) -> float:
    """Return the area under the entropy curve from histograms that are counted at every score."""
    scores, places = maps.ravel(), np.repeat(labels, maps.shape[1])
    fires = scores > 0
    order = np.argsort(-scores[fires])
    values, shown = scores[fires][order].astype(np.float64), places[fires][order]
    counts = np.cumsum(np.eye(labels.max() + 1)[shown], axis=0)
    share = counts / counts.sum(axis=1, keepdims=True)
    entropy = -(share * np.log(np.where(share > 0, share, 1))).sum(axis=1)
    below = np.append(values[1:], 0)
    return float((entropy * (values - below)).sum() / values[0])


if __name__ == "__main__":
    main()
