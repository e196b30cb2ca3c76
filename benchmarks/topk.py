"""What keeping the strongest samples costs and gives, and what bounds give for nearest samples.

    python benchmarks/topk.py [--samples 5000] [--rounds 3]
    python benchmarks/topk.py --store STORE --network N --ckpt C --dataset D --layer L

Without a store, one is drawn: layers of CaffeNet's shapes, 384 samples a file, as an extraction
writes them. Each answer is compared with that of a full scan before it is timed. Times are
milliseconds of one core's work (``time.process_time``), medians over rounds after one warm-up, with
the files in the page cache.

A full scan is what answers the question without sidecars and bounds: reading the column ``act_max``
of the channels in question and sorting; for nearest samples reading all maps and comparing.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from _synthetic import CLASSES, SHAPES, SHARD, labelled_batches, multi_labels
from numpy.typing import NDArray

from fstore.store import Store
from fstore.store.features import layer_shape, read_features
from fstore.store.files import Identity, Partition
from fstore.store.index import index
from fstore.store.maintenance import Selection
from fstore.store.nearest import nearest
from fstore.store.sink import write_shard
from fstore.store.topk import samples_by_class, strongest, strongest_by_class
from fstore.types import DatasetManifest, LayerSpec, SampleRecord, ViewManifest

LAYERS = ("conv3", "conv5", "fc7")
TOP = 9
Q = 5
"""Questions that a time is the mean of: filters, or samples, drawn."""


def drawn_store(folder: Path, n_samples: int) -> tuple[Store, list[Partition]]:
    """Write a store of drawn responses of three layers to labelled samples."""
    store = Store.create(folder)
    specs = [
        LayerSpec(name, *SHAPES[name], "conv" if SHAPES[name][1] > 1 else "fc", i, "synthetic")
        for i, name in enumerate(LAYERS)
    ]
    store.add_layers("caffenet", specs)
    Y = multi_labels(n_samples)
    samples = tuple(
        SampleRecord(str(i), f"{i}.jpg", "", 9, 9, {CLASSES[c]: 1 for c in np.flatnonzero(y > 0)})
        for i, y in enumerate(Y)
    )
    view = ViewManifest("image", samples, ())
    store.register_dataset(DatasetManifest("drawn", "multi", CLASSES, folder, (view,)))
    places = [Partition("caffenet", "drawn", "drawn", "image", name) for name in LAYERS]
    for place in places:
        made = labelled_batches(Y, place.layer, size=64)
        while shard := list(islice(made, SHARD // 64)):
            write_shard(store.place, shard, {place: Identity({"weights": "none: drawn"})})
    return store, places


def timed(run: Callable[[int], object], rounds: int, *, questions: int = 1) -> float:
    """Return the median over rounds of the mean milliseconds of a question; one is warm-up."""
    times = []
    for _ in range(rounds + 1):
        started = time.process_time()
        for i in range(questions):
            run(i)
        times.append((time.process_time() - started) / questions)
    return statistics.median(times[1:]) * 1e3


def scan_top(
    store: Store, place: Partition, channels: Sequence[int] | None, groups: Sequence[Any]
) -> list[NDArray[np.int64]]:
    """Return the top samples of channels among each group of samples, from the column."""
    best: list[list[NDArray[np.int64]]] = [[] for _ in groups]
    for _, X in read_features(store, place, channels=channels, what="sp_max"):
        for own, ids in zip(best, groups, strict=True):
            order = np.argsort(-X[ids, :, 0], axis=0, kind="stable")[:TOP]
            own.append(np.asarray(ids)[order].T)
    return [np.concatenate(own) for own in best]


def scan_nearest(
    store: Store, place: Partition, sample: int, channels: Sequence[int] | None
) -> NDArray[np.int64]:
    """Return the nearest samples from all maps."""
    squares: Any = 0
    for _, X in read_features(store, place, channels=channels):
        for c in range(X.shape[1]):
            x = X[:, c].astype(np.float64)
            squares = squares + np.square(x - x[sample]).sum(axis=1)
    squares[sample] = np.inf
    return np.argsort(squares, kind="stable")[:TOP]


def top_rows(store: Store, place: Partition, rounds: int) -> list[tuple[str, float, float, str]]:
    """Compare and time questions about the strongest samples."""
    random = np.random.default_rng(0)
    channels = random.integers(layer_shape(store, place).channels, size=Q).tolist()
    n = sum(file.n_samples for file in store.files(**place.values))
    everything = [np.arange(n)]
    classes = samples_by_class(store, place)
    (right,) = scan_top(store, place, None, everything)
    answer = strongest(store, place, k=TOP)
    assert (answer.sample_ids == right).all()
    by_class = strongest_by_class(store, place, k=TOP)
    for own, wanted in zip(
        by_class.values(), scan_top(store, place, None, list(classes.values())), strict=True
    ):
        assert (own.sample_ids == wanted).all()
    scanned = sum(own.scanned for own in by_class.values())
    one = timed(lambda i: scan_top(store, place, [channels[i]], everything), rounds, questions=Q)
    all_filters = timed(lambda _: scan_top(store, place, None, everything), rounds)
    groups = list(classes.values())
    grouped = timed(lambda _: scan_top(store, place, None, groups), rounds)
    return [
        (
            "top of one filter",
            one,
            timed(
                lambda i: strongest(store, place, channels=[channels[i]], k=TOP),
                rounds,
                questions=Q,
            ),
            "",
        ),
        (
            "top of all filters",
            all_filters,
            timed(lambda _: strongest(store, place, k=TOP), rounds),
            f"{answer.scanned} columns read",
        ),
        (
            f"top of all filters, {len(classes)} classes",
            grouped,
            timed(lambda _: strongest_by_class(store, place, k=TOP), rounds),
            f"{scanned} columns read",
        ),
    ]


def nearest_rows(
    store: Store, place: Partition, rounds: int
) -> list[tuple[str, float, float, str]]:
    """Compare and time questions about the nearest samples."""
    random = np.random.default_rng(1)
    n_channels = layer_shape(store, place).channels
    n = sum(file.n_samples for file in store.files(**place.values))
    samples = random.integers(n, size=Q).tolist()
    rows = []
    for count in (1, 3, 16, None):
        asked = Q if count is not None else 2  # a full scan of a layer takes seconds
        chosen = [
            None if count is None else random.choice(n_channels, count, replace=False).tolist()
            for _ in range(asked)
        ]
        shares = []
        for sample, channels in zip(samples, chosen, strict=False):
            answer = nearest(store, place, sample, channels=channels, k=TOP)
            assert (answer.sample_ids == scan_nearest(store, place, sample, channels)).all()
            shares.append(answer.read)

        def full(i: int, chosen: Any = chosen) -> object:  # noqa: ANN401
            return scan_nearest(store, place, samples[i], chosen[i])

        def bounded(i: int, chosen: Any = chosen) -> object:  # noqa: ANN401
            return nearest(store, place, samples[i], channels=chosen[i], k=TOP)

        name = "all filters" if count is None else f"{count} filter" + "s" * (count > 1)
        times = [timed(run, rounds, questions=asked) for run in (full, bounded)]
        share = f"{100 * np.mean(shares):.0f} % of maps decoded"
        rows.append((f"nearest by {name}", times[0], times[1], share))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--keep", type=Path, help="Where to put the drawn store, and leave it.")
    for name in ("network", "ckpt", "dataset"):
        parser.add_argument(f"--{name}")
    parser.add_argument("--view", default="image")
    parser.add_argument("--layer", action="append", default=[])
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if given.store is not None:
            store = Store.open(given.store)
            key = (given.network, given.ckpt, given.dataset, given.view)
            places = [Partition(*key, layer) for layer in given.layer]
        else:
            store, places = drawn_store(given.keep or Path(name) / "store", given.samples)
        print("| layer | question | full scan, ms | now, ms | times | |")
        print("| --- | --- | ---: | ---: | ---: | --- |")
        for place in places:
            (row,) = index(store.place, Selection(**place.values))
            files = store.files(**place.values)
            size = sum(Path(file.uri).stat().st_size for file in files)
            told = f"{row['bytes'] / 2**20:.2f} MiB beside {size / 2**20:.1f} MiB"
            print(f"| {place.layer} | sidecars of {len(files)} files: {told} | | | | ", end="")
            print(f"{row['percent']:.2f} % |")
            rows = top_rows(store, place, given.rounds)
            if layer_shape(store, place).positions > 1:
                rows += nearest_rows(store, place, given.rounds)
            for question, full, now, note in rows:
                print(
                    f"| {place.layer} | {question} | {full:.1f} | {now:.1f} | {full / now:.1f} "
                    f"| {note} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
