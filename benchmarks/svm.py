"""Speed of linear SVMs from a store against a loop of scikit-learn's LinearSVC, and peak memory.

    python benchmarks/svm.py                    # conv5: 20 classes x 3 C x 3 splits, both sides
    python benchmarks/svm.py --quick            # the loop on 3 classes only, the rest extrapolated
    python benchmarks/svm.py --threads 2        # both sides; the loop runs that many fits at once
    python benchmarks/svm.py --peak             # conv1: 5,000 + 5,000 samples, memory of a process

Ours: from an open store to scores of the test samples, reading and inner products included. The
loop: from the dense matrix, scaled, in float64, in memory to the same scores. Both objectives are
compared with our certified lower bound of the least objective (the dual's), computed in float64.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from _synthetic import DENSITIES, labelled_store, multi_labels
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_info, threadpool_limits

import fstore
from fstore.queries.methods.gram import feature_norm_factor, gram
from fstore.queries.methods.svm import BIAS, POSITIVE_WEIGHT, SVMs, fit
from fstore.queries.samples.problem import Problem, problem, split_samples
from fstore.store import Store
from fstore.store.features import read_features
from fstore.store.files import Partition
from fstore.store.precision import voc_ap
from fstore.types import Part, Split

Floats = NDArray[np.floating]
CS = (1e-4, 1e-3, 1e-2)
SEEDS = (0, 1, 2)
QUICK = (0, 7, 14)  # the class of most samples and two of few


@dataclass(frozen=True)
class Ours:
    """Scores and models of one split (classes at the first C, then at the second, ...)."""

    scores: Floats
    models: SVMs


@dataclass(frozen=True)
class Peer:
    """Scores and weights (the bias' last) of one split, C and class."""

    scores: Floats
    w: Floats
    iterations: int


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--quick", action="store_true", help="loop over 3 classes, extrapolate")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=3, help="of our side; medians are printed")
    parser.add_argument("--peak", action="store_true", help="memory for conv1 instead")
    parser.add_argument("--peak-of", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.peak_of:
        peak_of(given.peak_of)
        return
    pa.set_cpu_count(given.threads)
    with tempfile.TemporaryDirectory() as name, threadpool_limits(given.threads):
        folder = Path(name) / "store"
        peak(folder) if given.peak else speed(folder, given)


def build(folder: Path, layer: str, n_samples: int, seeds: Sequence[int]) -> NDArray[np.int8]:
    """Write a store with random splits of half train, half test; return the labels."""
    Y = multi_labels(n_samples)
    splits = []
    for seed in seeds:
        parts: list[Part] = ["test"] * n_samples
        for i in np.random.default_rng(seed).permutation(n_samples)[: n_samples // 2]:
            parts[i] = "train"
        splits.append(Split("random", seed, tuple(parts)))
    labelled_store(folder, layer, Y, splits, view="image")
    return Y


def posed(store: Store, layer: str, seeds: Sequence[int]) -> Problem:
    """Return labels and splits as the analyses see them."""
    samples = [
        s for k in seeds for s in split_samples(store, "drawn", "image", split="random", seed=k)
    ]
    return problem(store, samples, network="caffenet", ckpt="synthetic", layer=layer)


def solve(folder: Path, layer: str, Cs: Sequence[float], seeds: Sequence[int]) -> list[Ours]:
    """Our side, from the store to scores."""
    store = fstore.open(folder)
    found = posed(store, layer, seeds)
    kernel = gram(store, found.rows, device="cpu").kernel
    results = []
    for split in found.splits.values():
        many = np.tile(found.Y[split.train], len(Cs))
        models = fit(
            kernel[np.ix_(split.train, split.train)],
            many,
            C=np.repeat(Cs, found.Y.shape[1]),
            scale=feature_norm_factor(kernel, split.train) ** 2,
        )
        results.append(Ours(models.scores(kernel[np.ix_(split.test, split.train)]), models))
    return results


def speed(folder: Path, given: argparse.Namespace) -> None:
    """Compare both sides on conv5."""
    Y = build(folder, "conv5", 5000, SEEDS)
    store = fstore.open(folder)
    place = Partition("caffenet", "synthetic", "drawn", "image", "conv5")
    X = np.concatenate([b.reshape(len(Y), -1) for _, b in read_features(store, place)], axis=1)
    density = np.count_nonzero(X) / X.size
    print(f"conv5: 2,500 + 2,500 samples, {X.shape[1]:,} features, density {density:.3f}")
    print(f"(paper: {DENSITIES['conv5']}); threads: {given.threads}; {kernels()}")
    classes = QUICK if given.quick else range(Y.shape[1])
    found = posed(store, "conv5", SEEDS)
    print("\n| | our wall s | CPU s | loop's wall s | CPU s | wall, times | CPU, times |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for Cs, seeds in (((1e-3,), SEEDS[:1]), (CS, SEEDS)):
        ours, wall, cpu = median(lambda c=Cs, s=seeds: solve(folder, "conv5", c, s), given.rounds)
        peers, *theirs = loop(X, found, Cs=Cs, seeds=seeds, classes=classes, threads=given.threads)
        their_wall, their_cpu = (t * Y.shape[1] / len(classes) for t in theirs)
        print(
            f"| {Y.shape[1]} classes x {len(Cs)} C x {len(seeds)} splits | {wall:.1f} | {cpu:.1f} "
            f"| {their_wall:.1f} | {their_cpu:.1f} | {their_wall / wall:.1f} "
            f"| {their_cpu / cpu:.1f} |",
            flush=True,
        )
    if given.quick:
        print(f"\nEXTRAPOLATED: the loop ran on classes {QUICK} of 20 only; times are x 20 / 3.")
    compare(X, found, ours, peers, classes)
    tighter(X, found, ours[0], classes, given.threads)


def median(run: Callable[[], list[Ours]], rounds: int) -> tuple[list[Ours], float, float]:
    """Return the last result and the median wall and CPU seconds (CPU: of all threads)."""
    times = []
    for _ in range(rounds):
        wall, cpu = time.perf_counter(), time.process_time()
        result = run()
        times.append((time.perf_counter() - wall, time.process_time() - cpu))
    wall, cpu = np.median(times, axis=0)
    return result, float(wall), float(cpu)


def matrices(X: Floats, found: Problem, seed: int) -> tuple[Floats, Floats]:
    """Return a split's training and test features, scaled, in float64."""
    split = found.splits[seed]
    factor = 20 / np.linalg.norm(X[split.train], axis=1).mean()
    train, test = (X[rows].astype(np.float64) * factor for rows in (split.train, split.test))
    return train, test


def loop(
    X: Floats,
    found: Problem,
    *,
    Cs: Sequence[float],
    seeds: Sequence[int],
    classes: Sequence[int],
    threads: int,
    tol: float = 1e-4,
) -> tuple[dict[tuple[int, float, int], Peer], float, float]:
    """Run scikit-learn, a model at a time on each thread; return wall and CPU seconds, too."""
    peers, wall, cpu = {}, 0.0, 0.0
    for seed in seeds:
        train, test = matrices(X, found, seed)
        labels = found.Y[found.splits[seed].train]
        wall, cpu = wall - time.perf_counter(), cpu - time.process_time()
        with ThreadPoolExecutor(threads) as pool:
            jobs = {
                (seed, C, k): pool.submit(peer, train, labels[:, k], test, C, tol)
                for C in Cs
                for k in classes
            }
            peers.update({key: job.result() for key, job in jobs.items()})
        wall, cpu = wall + time.perf_counter(), cpu + time.process_time()
    return peers, wall, cpu


def peer(train: Floats, y: NDArray[np.int8], test: Floats, C: float, tol: float) -> Peer:
    """Fit and score one model as one would with scikit-learn."""
    model = LinearSVC(
        loss="hinge",
        dual=True,
        C=C,
        class_weight={1: POSITIVE_WEIGHT},
        intercept_scaling=BIAS,
        tol=tol,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # iterations say it
        model.fit(train, y)
    scores = model.decision_function(test)
    return Peer(scores, np.append(model.coef_[0], model.intercept_[0] / BIAS), int(model.n_iter_))


def compare(
    X: Floats,
    found: Problem,
    ours: Sequence[Ours],
    peers: dict[tuple[int, float, int], Peer],
    classes: Sequence[int],
) -> None:
    """Print how close both sides come to the least objective, and to each other."""
    print("\nLinearSVC at its default tolerance, 1e-4; gaps relative to the least objective:\n")
    print("| C | our gap, most | LinearSVC's, median | most | its iterations, most "
          "| scores differ, of range | 11-point AP differs, points | mAP |")  # fmt: skip
    print("| ---: " * 8 + "|")
    for c, C in enumerate(CS):
        columns = [c * found.Y.shape[1] + k for k in classes]
        gaps, scores, aps, means, steps = [], [], [], [], []
        for seed, mine in zip(SEEDS, ours, strict=True):
            split = found.splits[seed]
            train, _ = matrices(X, found, seed)
            for k, column in zip(classes, columns, strict=True):
                other, y = peers[seed, C, k], found.Y[split.test, k]
                gaps.append(
                    gap(
                        other,
                        train,
                        found.Y[split.train, k],
                        C=C,
                        models=mine.models,
                        column=column,
                    )
                )
                s = mine.scores[:, column]
                scores.append(np.abs(s - other.scores).max() / np.ptp(other.scores))
                both = [100 * (voc_ap(x, y) or 0) for x in (s, other.scores)]
                aps.append(abs(both[0] - both[1]))
                means.append(both[0])
                steps.append(other.iterations)
        most = max(float(o.models.gap[columns].max()) for o in ours)
        print(
            f"| {C:g} | {most:.1e} | {np.median(gaps):.1e} | {max(gaps):.1e} | {max(steps)} "
            f"| {max(scores):.1e} | {max(aps):.3f} | {np.mean(means):.1f} |"
        )


def gap(
    other: Peer, train: Floats, y: NDArray[np.int8], *, C: float, models: SVMs, column: int
) -> float:
    """Return how far above our lower bound a peer's objective lies, relative to it."""
    margins = y * (train @ other.w[:-1] + BIAS * other.w[-1])
    losses = np.where(y > 0, POSITIVE_WEIGHT, 1) * np.maximum(0, 1 - margins)
    objective = other.w @ other.w / 2 + C * losses.sum()
    least = models.objective[column] * (1 - models.gap[column])
    return float((objective - least) / least)


def tighter(X: Floats, found: Problem, ours: Ours, classes: Sequence[int], threads: int) -> None:
    """Print what the loop takes at smaller tolerances, one C and split."""
    print("\nThe loop at other tolerances, C = 1e-3, one split:\n")
    print("| tol | wall s | CPU s | its gap, most | our gap, most |")
    print("| ---: " * 5 + "|")
    train, _ = matrices(X, found, 0)
    n = found.Y.shape[1]
    middle = CS.index(1e-3) * n
    share = n / len(classes)
    for tol in (1e-4, 1e-5, 1e-6):
        peers, wall, cpu = loop(
            X, found, Cs=(1e-3,), seeds=(0,), classes=classes, threads=threads, tol=tol
        )
        labels = found.Y[found.splits[0].train]
        gaps = [
            gap(
                peers[0, 1e-3, k],
                train,
                labels[:, k],
                C=1e-3,
                models=ours.models,
                column=middle + k,
            )
            for k in classes
        ]
        most = ours.models.gap[[middle + k for k in classes]].max()
        print(
            f"| {tol:g} | {wall * share:.1f} | {cpu * share:.1f} | {max(gaps):.1e} | {most:.1e} |"
        )


def kernels() -> str:
    """Return the BLAS that NumPy uses and for which processor."""
    blas = [info for info in threadpool_info() if info["user_api"] == "blas"]
    return ", ".join(sorted({f"{b['internal_api']} {b['architecture']}" for b in blas}))


def peak(folder: Path) -> None:
    """Print the memory that conv1 takes, in a process of its own."""
    build(folder, "conv1", 10_000, SEEDS[:1])
    size = sum(f.stat().st_size for f in folder.rglob("*.parquet")) / 2**30
    print(f"conv1: 5,000 + 5,000 samples, 69,984 features, density {DENSITIES['conv1']} as in the")
    print(f"paper: {10_000 * 69_984 * 4 / 2**30:.2f} GiB of float32, {size:.2f} GiB in the store")
    command = [sys.executable, __file__, "--peak-of", str(folder)]
    told = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ)
    result = json.loads(told.stdout)
    print("\n| step | seconds since start | peak memory so far, GiB |\n| --- | ---: | ---: |")
    for step, seconds, memory in result["steps"]:
        print(f"| {step} | {seconds:.1f} | {memory:.2f} |")
    print(f"\n20 SVMs, largest relative gap {result['gap']:.1e}, mAP {result['map']:.1f}")


def peak_of(folder: Path) -> None:
    """Do the work of one process; print its memory after each step as JSON."""
    started, steps = time.perf_counter(), []

    def note(step: str) -> None:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        steps.append((step, time.perf_counter() - started, most))

    store = fstore.open(folder)
    found = posed(store, "conv1", SEEDS[:1])
    note("store opened, labels and splits read")
    kernel = gram(store, found.rows).kernel
    note("activations read, inner products summed")
    (split,) = found.splits.values()
    scale = feature_norm_factor(kernel, split.train) ** 2
    models = fit(kernel[np.ix_(split.train, split.train)], found.Y[split.train], scale=scale)
    note("20 SVMs trained")
    scores = models.scores(kernel[np.ix_(split.test, split.train)])
    note("scores of the test samples")
    aps = [voc_ap(s, y) for s, y in zip(scores.T, found.Y[split.test].T, strict=True)]
    result = {"steps": steps, "gap": models.gap.max(), "map": 100 * np.mean(aps)}
    print(json.dumps(result))


if __name__ == "__main__":
    main()
