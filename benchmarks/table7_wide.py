"""A cell of Table 7 of more samples than inner products are held of: memory, CPU seconds, gap.

    python benchmarks/table7_wide.py --samples 100000 [--ablation none] [--folder FOLDER]

A store of conv5 (256 filters, 6 x 6 places) is drawn, with labels of 20 classes, four samples of
five to learn from and one to test on. Then a process of its own computes the cell as the report
does, with no say in which way the SVMs are trained. Its peak memory is told in full and without the
pages of files, which the system may drop. The disk needs the store and, for the time of the run, 4
bytes a feature and sample.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from _synthetic import SHAPES, labelled_store, multi_labels

from fstore.queries.cells.needs import Need
from fstore.queries.reports import REPORTS
from fstore.queries.studies.study import parse_study
from fstore.store import Store
from fstore.types import Part, Split

LAYER = "conv5"
SHARD = 4096
STUDY = f"""
name = "drawn"
network = "caffenet"
layers = ["{LAYER}"]
pretrained = "synthetic"
[classification]
dataset = "drawn"
"""


def main() -> None:
    """Draw the store, and let a process of its own compute the cell."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--samples", type=int, default=100_000)
    parser.add_argument("--ablation", default="none", help="column of Table 7")
    parser.add_argument("--folder", type=Path, help="of the store; default: a temporary one")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.json:
        print(json.dumps(measure(given.folder, given.ablation)))
        return
    with tempfile.TemporaryDirectory() as own:
        folder = given.folder or Path(own)
        draw(folder / "store", given.samples)
        command = [sys.executable, __file__, "--json", "--ablation", given.ablation]
        told = subprocess.run(
            [*command, "--folder", str(folder / "store")],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(folder)},
        )
    row = json.loads(told.stdout)
    features = int(np.prod(SHAPES[LAYER]))
    print(f"{given.samples:,} samples x {features:,} features, {given.ablation}")
    for name, value in row.items():
        print(f"{name:28} {value:.4g}")


def draw(path: Path, n_samples: int) -> None:
    """Write the store; every fifth sample is one to test on."""
    Y = multi_labels(n_samples)
    parts: list[Part] = ["test" if i % 5 == 4 else "train" for i in range(n_samples)]
    splits = [Split("official", 0, tuple(parts))]
    labelled_store(path, LAYER, Y, splits, view="image", shard=SHARD)


def measure(path: Path, ablation: str) -> dict[str, float]:
    """Compute the cell; return its numbers and what they took."""
    store, study = Store.open(path), parse_study(STUDY)
    entry = REPORTS["table7"]
    (need,) = [n for n in entry.meta["needs"](store, study) if n.col == ablation]
    return _computed(store, need)


def _computed(store: Store, need: Need) -> dict[str, float]:
    watch = Watch()
    wall = time.perf_counter()
    ((_, cells),) = REPORTS["table7"].function(store, [need])
    used = resource.getrusage(resource.RUSAGE_SELF)
    watch.done.set()
    values = {cell.col.removeprefix(f"{need.col}:"): cell.value for cell in cells}
    return {
        "mean AP, percent": values[need.col],
        "largest gap": values["gap"],
        "classes": values["classes"],
        "no direction": values["no_direction"],
        "CPU, s": used.ru_utime + used.ru_stime,
        "wall, s": time.perf_counter() - wall,
        "peak memory, GiB": used.ru_maxrss / 2**20,
        "of it its own, GiB": watch.own / 2**20,
    }


class Watch:
    """Looks ten times a second at how much memory of the process is its own, in KiB."""

    def __init__(self) -> None:
        self.own, self.done = 0, threading.Event()
        threading.Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        while not self.done.wait(0.1):
            text = Path("/proc/self/status").read_text()
            lines = dict(line.split(":", 1) for line in text.splitlines())
            self.own = max(self.own, int(lines["RssAnon"].split()[0]))


if __name__ == "__main__":
    main()
