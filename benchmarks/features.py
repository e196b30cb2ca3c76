"""Speed of ``store.features(...).X``: conv5 of CaffeNet, against the same array in Zarr with zstd.

    python benchmarks/features.py [--samples 2000] [--rounds 7]

All are read from the page cache into one float32 array of shape (n_samples, 256 * 6 * 6); the
rounds take turns, so that what else the machine does meets all. pyarrow reads the same files and
fills NULL with 0; it leaves channels outermost. Then the same for 64 random samples. Processor
time is that of all threads. Beside it: what `import fstore` adds to Python's own start.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import zarr
from _synthetic import SHAPES, labelled_store, single_labels
from pyarrow import parquet as pq
from zarr.codecs import ZstdCodec

import fstore
from fstore.store.files import Partition
from fstore.store.matrix import read_matrix
from fstore.types import Split

LAYER = "conv5"
CHUNK = 100  # samples: 3.7 MB
FEW = 64

Times = dict[str, list[tuple[float, float]]]
"""Milliseconds of each round, by the clock and of the processor."""


def build(folder: Path, n_samples: int) -> None:
    """Write a store, and the same array as Zarr."""
    Y = single_labels(n_samples)
    parts = Split("official", 0, ("train",) * n_samples)
    labelled_store(folder / "store", LAYER, Y, [parts], view="image")
    X = open_features(folder).maps
    array = zarr.create_array(
        folder / "zarr",
        shape=X.shape,
        chunks=(min(CHUNK, n_samples), *SHAPES[LAYER]),
        dtype=X.dtype,
        compressors=ZstdCodec(level=3),
    )
    array[:] = X


def open_features(folder: Path) -> fstore.Features:
    """Open the store and ask it, reading nothing yet."""
    return fstore.open(folder / "store").features(LAYER, "synthetic", "drawn")


def from_store(folder: Path) -> np.ndarray:
    """Read the matrix as a user does, the store opened anew."""
    return open_features(folder).X


def from_zarr(folder: Path) -> np.ndarray:
    """Read the same from Zarr."""
    array = zarr.open_array(folder / "zarr", mode="r")
    return np.asarray(array[:]).reshape(array.shape[0], -1)


def from_arrow(folder: Path) -> list[np.ndarray]:
    """Read the same by pyarrow, a file at a time."""
    paths = (folder / "store" / "activations").rglob("*.parquet")
    tables = (pq.read_table(path, columns=["map"], partitioning=None) for path in paths)
    return [
        pc.fill_null(pc.list_flatten(table["map"].combine_chunks()), 0).to_numpy()
        for table in tables
    ]


def few_from_store(folder: Path, rows: np.ndarray) -> np.ndarray:
    """Read some samples, the store opened anew."""
    place = Partition("caffenet", "synthetic", "drawn", "image", LAYER)
    return read_matrix(fstore.open(folder / "store"), place, rows)


def few_from_zarr(folder: Path, rows: np.ndarray) -> np.ndarray:
    """Read the same from Zarr: every chunk has some of them."""
    array = zarr.open_array(folder / "zarr", mode="r")
    return np.asarray(array.oindex[rows]).reshape(len(rows), -1)


def in_turns(runs: dict[str, Callable[[], object]], rounds: int) -> Times:
    """Return the times of each, after one warm-up."""
    times: Times = {name: [] for name in runs}
    for i in range(rounds + 1):
        for name, run in runs.items():
            started, busy = time.perf_counter(), time.process_time()
            run()
            if i:
                took = time.perf_counter() - started, time.process_time() - busy
                times[name].append((1e3 * took[0], 1e3 * took[1]))
    return times


def shown(what: str, times: Times) -> None:
    """Print a table of medians."""
    print(what)
    print()
    print("| from | ms | of Zarr | CPU ms | of Zarr |")
    print("| --- | ---: | ---: | ---: | ---: |")
    zarr_ms = np.median(times["zarr"], axis=0)
    for label, own in times.items():
        (ms, busy), (share, share_busy) = np.median(own, axis=0), np.median(own, axis=0) / zarr_ms
        print(f"| {label} | {ms:.0f} | {share:.2f} | {busy:.0f} | {share_busy:.2f} |")
    print()


def start(code: str) -> Callable[[], object]:
    """Return what starts a Python that runs some code."""
    return lambda: subprocess.run([sys.executable, "-c", code], check=True)


def size_of(folder: Path) -> float:
    """Return MB of all files below a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()) / 1e6


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=7)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, given.samples)
        assert np.array_equal(from_store(folder), from_zarr(folder))
        runs: dict[str, Callable[[], object]] = {
            "store": lambda: from_store(folder),
            "zarr": lambda: from_zarr(folder),
            "pyarrow": lambda: from_arrow(folder),
        }
        times = in_turns(runs, given.rounds)
        rows = np.sort(np.random.default_rng(0).permutation(given.samples)[:FEW])
        assert np.array_equal(few_from_store(folder, rows), few_from_zarr(folder, rows))
        few = in_turns(
            {
                "store": lambda: few_from_store(folder, rows),
                "zarr": lambda: few_from_zarr(folder, rows),
            },
            given.rounds,
        )
        sizes = [size_of(folder / name) for name in ("store", "zarr")]
    starts = in_turns({"bare": start("pass"), "import": start("import fstore")}, given.rounds)
    shown(f"{given.samples} samples of {LAYER}, medians of {given.rounds} rounds", times)
    shown(f"{len(rows)} random ones of them", few)
    print(
        f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; MB on disk: "
        f"store {sizes[0]:.1f}, Zarr {sizes[1]:.1f}"
    )
    pairs = zip(starts["import"], starts["bare"], strict=True)
    print(
        f"import fstore adds {statistics.median(a[0] - b[0] for a, b in pairs):.0f} ms to Python's "
        "start"
    )


if __name__ == "__main__":
    main()
