"""Speed of ``store.features(...).X``: conv5 of CaffeNet, against the same array in Zarr with zstd.

    python benchmarks/features.py [--samples 2000] [--rounds 7]

Both are read from the page cache into one float32 array of shape (n_samples, 256 * 6 * 6); the
rounds take turns, so that what else the machine does meets both. Beside it: what `import fstore`
adds to Python's own start.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import zarr
from _synthetic import SHAPES, labelled_store, single_labels
from zarr.codecs import ZstdCodec

import fstore
from fstore.types import Split

LAYER = "conv5"
CHUNK = 100  # samples: 3.7 MB


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


def in_turns(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Return milliseconds of each round of each, after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for i in range(rounds + 1):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if i:
                times[name].append(1e3 * (time.perf_counter() - started))
    return times


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
        runs = {"store": lambda: from_store(folder), "zarr": lambda: from_zarr(folder)}
        times = in_turns(runs, given.rounds)
        sizes = {"store": size_of(folder / "store"), "zarr": size_of(folder / "zarr")}
    starts = in_turns({"bare": start("pass"), "import": start("import fstore")}, given.rounds)
    print(f"{given.samples} samples of {LAYER}, medians of {given.rounds} rounds")
    print()
    print("| from | ms | of Zarr | MB on disk |")
    print("| --- | ---: | ---: | ---: |")
    zarr_ms = statistics.median(times["zarr"])
    for label, own in times.items():
        ms = statistics.median(own)
        print(f"| {label} | {ms:.0f} | {ms / zarr_ms:.2f} | {sizes[label]:.1f} |")
    print()
    pairs = zip(starts["import"], starts["bare"], strict=True)
    print(
        f"import fstore adds {statistics.median(a - b for a, b in pairs):.0f} ms to Python's start"
    )


if __name__ == "__main__":
    main()
