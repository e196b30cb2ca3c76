"""A store with a hundred thousand files in its log, as months of work leave it; for ``scale.py``.

The first commit is made by ``write_shard``; the others have its lines with other names, and the
sums of all are noted, as if each had been made so.
"""

import hashlib
import json
import os
import re
import sys
import time
from itertools import cycle, islice, product
from pathlib import Path
from typing import TextIO

import numpy as np

import fstore
from fstore.queries.studies.study import set_study
from fstore.store.identity import Identity, Partition
from fstore.store.sink import write_shard
from fstore.types import (
    ActivationBatch,
    DatasetManifest,
    LayerResponses,
    LayerSpec,
    SampleRecord,
    ViewManifest,
)

NETWORKS, CKPTS, DATASETS, LAYERS = 4, 8, 2, 8
SAMPLES, FILTERS = 4, 8
"""Of each file."""
WHO = re.compile(r"network=[^/]*/ckpt=[^/]*/dataset=[^/\"]*")
IDENTITY = Identity({"weights": "none: drawn at random"})
STUDY = """
name = "months"
network = "net-1"
layers = ["layer-0", "layer-1", "layer-2", "layer-3", "layer-4", "layer-5", "layer-6", "layer-7"]
mid_layer = "layer-5"
top_layer = "layer-7"
sweep = ["0k", "1k", "2k", "3k", "4k", "5k", "6k"]
pretrained = "7k"

[classification]
dataset = "data-1"
"""


def shard(number: int) -> list[ActivationBatch]:
    """Make the responses of a few samples at all layers."""
    random = np.random.default_rng(number)
    ids = np.arange(number * SAMPLES, (number + 1) * SAMPLES, dtype=np.int64)
    return [ActivationBatch(ids, {f"layer-{i}": responses(random) for i in range(LAYERS)})]


def responses(random: np.random.Generator) -> LayerResponses:
    """Draw one value a filter."""
    return LayerResponses(act_max=random.random((SAMPLES, FILTERS), dtype=np.float32))


def places(who: tuple[int, int, int]) -> dict[Partition, Identity]:
    """Return the partitions that a commit of a network, a checkpoint and a data set fills."""
    network, ckpt, dataset = who
    return {
        Partition(f"net-{network}", f"{ckpt}k", f"data-{dataset}", "image", f"layer-{i}"): IDENTITY
        for i in range(LAYERS)
    }


def build(folder: Path, n_files: int) -> None:
    """Make a store with so many files in its log."""
    from deltalake import DeltaTable

    store = fstore.create(folder)
    for n in range(NETWORKS):
        specs = [LayerSpec(f"layer-{i}", FILTERS, 1, 1, "fc", i, "drawn") for i in range(LAYERS)]
        store.add_layers(f"net-{n}", specs)
    for d in range(DATASETS):
        sample = SampleRecord("0", "0.jpg", "", 500, 375, {"a": 1})
        views = (ViewManifest("image", (sample,), ()),)
        store.register_dataset(DatasetManifest(f"data-{d}", "single", ("a",), folder, views))
    everyone = list(product(range(NETWORKS), range(CKPTS), range(DATASETS)))
    write_shard(store.place, shard(0), places(everyone[0]))
    set_study(store, STUDY)
    table = folder / "activations"
    log, notes = table / "_delta_log", folder / "sums" / "activations.sha256"
    first = (log / f"{1:020d}.json").read_text()
    known = {line[66:]: line[:64] for line in notes.read_text().splitlines()}
    n_commits = max(1, n_files // LAYERS)
    after = n_commits - n_commits % 100
    with notes.open("a") as sums:
        for version, who in islice(enumerate(cycle(everyone), start=1), 1, n_commits):
            commit(table, first, version=version, who=who, sums=sums, known=known)
            if version == after and version >= 100:
                DeltaTable(table).create_checkpoint()
                for file in log.glob(f"{version:020d}.checkpoint*"):
                    sums.write(line_of(table, file))


def commit(
    table: Path,
    first: str,
    *,
    version: int,
    who: tuple[int, int, int],
    sums: TextIO,
    known: dict[str, str],
) -> None:
    """Add a commit with the lines of the first one, and link its files."""
    network, ckpt, dataset = who
    number = version // (NETWORKS * CKPTS * DATASETS)
    low, high = number * SAMPLES, (number + 1) * SAMPLES - 1
    lines = []
    for text in first.splitlines():
        action = json.loads(text)
        if "add" in action:
            add = action["add"]
            old = add["path"]
            path = WHO.sub(f"network=net-{network}/ckpt={ckpt}k/dataset=data-{dataset}", old)
            head, _, name = path.rpartition("/")
            parts = name.split("-")
            unique = hashlib.sha256(f"{version} {old}".encode()).hexdigest()
            name = "-".join((str(low), str(high), parts[2], parts[3], unique[:16], unique[16:28]))
            add["path"] = f"{head}/{name}.parquet"
            values = {"network": f"net-{network}", "ckpt": f"{ckpt}k", "dataset": f"data-{dataset}"}
            add["partitionValues"] |= values
            stats = json.loads(add["stats"])
            stats["minValues"]["sample_id"], stats["maxValues"]["sample_id"] = low, high
            add["stats"] = json.dumps(stats)
            (table / head).mkdir(parents=True, exist_ok=True)
            os.link(table / old, table / add["path"])
            sums.write(f"{known[old]}  {add['path']}\n")
        elif "txn" in action:
            txn = action["txn"]
            folder = f"network=net-{network}/ckpt={ckpt}k/dataset=data-{dataset}"
            txn["appId"] = WHO.sub(folder, txn["appId"])
            txn["version"] = number + 1
        lines.append(json.dumps(action, separators=(",", ":")) + "\n")
    file = table / "_delta_log" / f"{version:020d}.json"
    file.write_text("".join(lines))
    sums.write(line_of(table, file))


def line_of(table: Path, file: Path) -> str:
    """Return a line of sums."""
    return f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(table)}\n"


def commit_some(place: str, n: int = 5) -> tuple[float, float]:
    """Return CPU seconds and seconds of a commit of a shard: medians of some after one more."""
    store = fstore.open(place)
    start = 1_000_000 + 64 * (time.time_ns() // 10**8 % 10**10)  # another one each time
    spent = []
    for i in range(n + 1):
        batches = shard(start + i)
        began = time.process_time(), time.perf_counter()
        assert (
            write_shard(store.place, batches, places((1, 2, 1))).rows == SAMPLES * FILTERS * LAYERS
        )
        spent.append((time.process_time() - began[0], time.perf_counter() - began[1]))
    cpu, seconds = np.median(spent[1:], axis=0).tolist()
    return cpu, seconds


if __name__ == "__main__":
    if sys.argv[1] == "build":
        build(Path(sys.argv[3]), int(sys.argv[2]))
    else:
        print(*commit_some(sys.argv[2]))
