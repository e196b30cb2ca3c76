"""Linear SVMs of many samples: through inner products, and on features in a file.

    python benchmarks/svm_wide.py --samples 20000 --features 9216 --classes 20

Features are drawn at about the paper's density of conv5. Each route runs in a process of its own:
seconds, the largest and the median relative duality gap, and the peak memory of the process.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator

import numpy as np
from _synthetic import DENSITIES
from numpy.typing import NDArray
from scipy.stats import norm
from threadpoolctl import threadpool_limits

from fstore.queries.methods.features_file import FeaturesFile
from fstore.queries.methods.gram import gram_of
from fstore.queries.methods.svm import UnfinishedWarning, fit
from fstore.queries.methods.wide import fit_wide

ROUTES = ("features", "products")
RANK, SHARED, SIGNAL = 64, 0.6, 0.3
"""Directions that features share, their share of the variance, and what a class adds to it."""

WIDTH = 256
"""Features a block."""


def main() -> None:
    """Run both routes and print a table, or one route and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--features", type=int, default=9_216)
    parser.add_argument("--classes", type=int, default=20)
    parser.add_argument("--c", type=float, default=1e-3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--route", choices=ROUTES, help="only this one")
    parser.add_argument("--json", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.json:
        with threadpool_limits(given.threads):
            print(json.dumps(measure(given)))
        return
    print("| route | reading, s | training, s | CPU, s | gap, most | median | peak, GiB |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |", flush=True)
    for route in [given.route] if given.route else ROUTES:
        command = [sys.executable, *sys.argv, "--json", "--route", route]
        told = subprocess.run(command, check=True, capture_output=True, text=True)
        row = json.loads(told.stdout)
        print(
            f"| {route} | {row['read']:.1f} | {row['train']:.1f} | {row['cpu']:.1f} "
            f"| {row['most']:.1e} | {row['median']:.1e} | {row['peak']:.2f} |",
            flush=True,
        )


def measure(given: argparse.Namespace) -> dict[str, float]:
    """Go one route; return what it took."""
    Y, blocks = drawn(given.samples, given.features, given.classes)
    wall, cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnfinishedWarning)  # the gap is printed
        if given.route == "features":
            file = FeaturesFile(blocks, n_samples=given.samples, n_features=given.features)
            read = time.perf_counter() - wall
            gap = fit_wide(file, np.arange(given.samples), Y, C=given.c).gap
        else:
            kernel = gram_of(blocks, device="cpu").kernel
            read = time.perf_counter() - wall
            scale = (20 / np.sqrt(np.diagonal(kernel)).mean()) ** 2
            gap = fit(kernel, Y, C=given.c, scale=float(scale)).gap
    return {
        "read": read,
        "train": time.perf_counter() - wall - read,
        "cpu": time.process_time() - cpu,
        "most": float(gap.max()),
        "median": float(np.median(gap)),
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }


def drawn(
    n_samples: int, n_features: int, n_classes: int
) -> tuple[NDArray[np.int8], Iterator[NDArray[np.float32]]]:
    """Return labels, and features in blocks that are drawn as they are asked for."""
    random = np.random.default_rng(0)
    Y = np.where(random.random((n_samples, n_classes)) < 0.08, 1, -1).astype(np.int8)
    Y[:2] = [[1] * n_classes, [-1] * n_classes]
    common = random.standard_normal((n_samples, RANK), dtype=np.float32) / np.float32(RANK**0.5)
    threshold = np.float32(norm.ppf(1 - DENSITIES["conv5"]))

    def blocks() -> Iterator[NDArray[np.float32]]:
        for start in range(0, n_features, WIDTH):
            width = min(WIDTH, n_features - start)
            x = common @ random.standard_normal((RANK, width), dtype=np.float32)
            x *= np.float32(SHARED**0.5)
            noise = random.standard_normal((n_samples, width), dtype=np.float32)
            x += np.float32((1 - SHARED) ** 0.5) * noise
            tuning = random.standard_normal((n_classes, width), dtype=np.float32)
            x += np.float32(SIGNAL) * (Y > 0).astype(np.float32) @ tuning
            yield np.maximum(x - threshold, 0)

    return Y, blocks()


if __name__ == "__main__":
    main()
