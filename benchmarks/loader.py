"""Samples a second for training: store.loader against other ways to keep the same features.

    python benchmarks/loader.py [--layers conv2 conv5 fc6] [--samples 4096] [--rounds 5]

Every way gives one epoch of shuffled batches of 64, float32 tensors with labels, of the same
responses (CaffeNet's shapes, the paper's densities). Files are dropped from the page cache before
each epoch, so all are read from the disk. Ways take turns; medians are printed.

- loader: buffer of 1,024 samples, in this process or in two workers that stay;
- sequential: this store's own reader, file by file, no shuffling;
- npy: a memory map, batches of random rows;
- lance: random rows of a Lance data set (its ``take``);
- tar: WebDataset's format and library, shards in random order, a shuffle buffer of 1,024 samples;
- zarr: chunks of 64 samples with zstd, whole chunks in random order: batches are never mixed;
- disk: the bytes of the npy file, read from end to end: what the disk gives.
"""

import argparse
import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
import zarr
from _synthetic import SHAPES, labelled_store, single_labels
from numpy.typing import NDArray
from torch.utils.data import DataLoader

import fstore
from fstore.store.features import read_samples
from fstore.types import Split

BATCH, BUFFER, SHARD, CHUNK = 64, 1024, 384, 64

Way = Callable[[], Iterator[tuple[Any, Any]]]
Array = Any  # NumPy's or Zarr's


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--layers", nargs="+", default=["conv2", "conv5", "fc6"])
    parser.add_argument("--samples", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="Where to write; default: a temporary one.")
    given = parser.parse_args()
    print("| layer | way | samples/s | ratio to loader | MB on disk | MB/s of float32 |")
    print("| --- | --- | ---: | ---: | ---: | ---: |")
    for layer in given.layers:
        with tempfile.TemporaryDirectory(dir=given.folder) as folder:
            measure(layer, Path(folder), n=given.samples, rounds=given.rounds)


def measure(layer: str, folder: Path, *, n: int, rounds: int) -> None:
    """Print how quickly each way goes through one layer."""
    ways = written(layer, folder, n)
    raw = 4 * n * int(np.prod(SHAPES[layer]))
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, (way, _) in ways.items():
            evict(folder)
            began = time.perf_counter()
            seen = sum(len(ids) for ids, _ in way())
            seconds[name].append(time.perf_counter() - began)
            assert seen == n, (name, seen)
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    for name, median in medians.items():
        size = sum(f.stat().st_size for f in ways[name][1].rglob("*") if f.is_file())
        if ways[name][1].is_file():
            size = ways[name][1].stat().st_size
        print(
            f"| {layer} | {name} | {n / median:,.0f} | {medians['loader'] / median:.2f} | "
            f"{size / 1e6:.0f} | {raw / median / 1e6:.0f} |",
            flush=True,
        )


def written(layer: str, folder: Path, n: int) -> dict[str, tuple[Way, Path]]:
    """Write the same responses in every format; return what reads each, and where it lies."""
    Y = single_labels(n)
    y = (Y > 0).argmax(axis=1)
    place = labelled_store(
        folder / "store", layer, Y, [Split("official", 0, ("train",) * n)], view="image"
    )
    store = fstore.open(folder / "store")
    X = store.features(layer, place.ckpt, place.dataset).maps
    ids = np.arange(n)
    loader = store.loader(layer, place.ckpt, place.dataset, batch_size=BATCH, buffer=BUFFER)
    alone = DataLoader(loader, batch_size=None)
    shared = DataLoader(loader, batch_size=None, num_workers=2, persistent_workers=True)
    for _ in shared:  # starts the workers, which stay
        pass
    np.save(folder / "X.npy", X)
    write_lance(folder / "lance", X)
    write_tar(folder / "tar", X, y)
    zarr.create_array(
        folder / "zarr", data=X, chunks=(CHUNK, *X.shape[1:]), compressors=zarr.codecs.ZstdCodec()
    )
    shape = X.shape[1:]
    del X

    def ours(batches: "DataLoader[Any]") -> Iterator[tuple[Any, Any]]:
        for batch in batches:
            yield batch["y"], batch["X"]

    files = folder / "store" / "activations"
    return {
        "loader": (lambda: ours(alone), files),
        "loader, 2 workers": (lambda: ours(shared), files),
        "sequential": (lambda: read_samples(store, place, ids), files),
        "npy": (lambda: by_rows(np.load(folder / "X.npy", mmap_mode="r"), y), folder / "X.npy"),
        "lance": (lambda: from_lance(folder / "lance", y, shape), folder / "lance"),
        "tar": (lambda: from_tar(folder / "tar"), folder / "tar"),
        "zarr": (lambda: by_chunks(zarr.open_array(folder / "zarr", mode="r"), y), folder / "zarr"),
        "disk": (lambda: from_disk(folder / "X.npy", n), folder / "X.npy"),
    }


def evict(folder: Path) -> None:
    """Drop the files of a folder from the page cache."""
    os.sync()
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def shuffled(n: int, size: int) -> Iterator[np.ndarray]:
    """Yield the numbers below n in random order, some at a time."""
    order = np.random.default_rng(0).permutation(n)
    for start in range(0, n, size):
        yield order[start : start + size]


def by_rows(X: Array, y: NDArray[np.int64]) -> Iterator[tuple[Any, Any]]:
    """Read batches of random rows."""
    for rows in shuffled(len(X), BATCH):
        yield y[rows], torch.from_numpy(X[np.sort(rows)])


def by_chunks(X: Array, y: NDArray[np.int64]) -> Iterator[tuple[Any, Any]]:
    """Read whole chunks in random order."""
    for (chunk,) in shuffled(-(-X.shape[0] // CHUNK), 1):
        rows = slice(chunk * CHUNK, (chunk + 1) * CHUNK)
        yield y[rows], torch.from_numpy(X[rows])


def write_lance(path: Path, X: Array) -> None:
    """Write rows of one fixed-size list."""
    import lance  # not before the workers are there: it does not bear to be forked

    width = int(np.prod(X.shape[1:]))

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(X), SHARD):
            values = pa.array(X[start : start + SHARD].reshape(-1))
            yield pa.record_batch([pa.FixedSizeListArray.from_arrays(values, width)], ["x"])

    schema = pa.schema([("x", pa.list_(pa.float32(), width))])
    lance.write_dataset(batches(), path, schema=schema)


def from_lance(
    path: Path, y: NDArray[np.int64], shape: tuple[int, ...]
) -> Iterator[tuple[Any, Any]]:
    """Take batches of random rows."""
    import lance

    rows_of = lance.dataset(path)
    for rows in shuffled(rows_of.count_rows(), BATCH):
        column = rows_of.take(np.sort(rows)).column("x").combine_chunks()
        values = column.flatten().to_numpy().reshape(-1, *shape)
        yield y[rows], torch.tensor(values)


def write_tar(folder: Path, X: Array, y: NDArray[np.int64]) -> None:
    """Write shards as WebDataset reads them: a .npy and a .cls a sample."""
    folder.mkdir()
    for start in range(0, len(X), SHARD):
        with tarfile.open(folder / f"{start:06d}.tar", "w") as tar:
            for i in range(start, min(start + SHARD, len(X))):
                array = io.BytesIO()
                np.save(array, X[i])
                for suffix, data in (("npy", array.getvalue()), ("cls", str(y[i]).encode())):
                    member = tarfile.TarInfo(f"{i:06d}.{suffix}")
                    member.size = len(data)
                    tar.addfile(member, io.BytesIO(data))


def from_tar(folder: Path) -> Iterator[tuple[Any, Any]]:
    """Read shards in random order through a shuffle buffer."""
    import webdataset

    urls = sorted(map(str, folder.iterdir()))
    samples = webdataset.WebDataset(urls, shardshuffle=len(urls), seed=0, empty_check=False)
    batched = samples.shuffle(BUFFER).decode().to_tuple("cls", "npy").batched(BATCH)
    for labels, X in batched:
        yield labels, torch.as_tensor(X)


def from_disk(path: Path, n: int) -> Iterator[tuple[Any, Any]]:
    """Read a file from end to end."""
    with path.open("rb", buffering=0) as file:
        block = bytearray(1 << 23)
        while file.readinto(block):
            pass
    yield range(n), None


if __name__ == "__main__":
    main()
