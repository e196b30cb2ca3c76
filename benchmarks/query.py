"""Speed of questions: a store of CaffeNet's shapes at the paper's densities, against .npy files.

    python benchmarks/query.py [--samples 2048] [--rounds 5]

- Table 6 over all seven layers of a checkpoint, as ``fstore report show table6`` computes it,
  against counting in memory-mapped .npy files that are warm in the page cache; the plan is checked
  to read no ``map``;
- one conv5 filter, summaries and maps, against the whole layer, both through ``fstore.open``.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _synthetic import SHAPES, batches

import fstore
from fstore.queries.reports.table6 import sparsity_sql
from fstore.queries.samples.labels import Samples
from fstore.store import Store
from fstore.store.files import Identity, Partition
from fstore.store.sink import write_shard
from fstore.types import LayerSpec

SHARD = 512

FILTER = "SELECT sample_id, map FROM activations WHERE layer = 'conv5' AND channel = 100"
LAYER = "SELECT sample_id, channel, map FROM activations WHERE layer = 'conv5'"


def build(folder: Path, n_samples: int) -> None:
    """Write a store and .npy files of the same values."""
    store = fstore.create(folder / "store")
    specs = [
        LayerSpec(name, *shape, "conv" if shape[1] > 1 else "fc", i, "synthetic")
        for i, (name, shape) in enumerate(SHAPES.items())
    ]
    store.add_layers("caffenet", specs)
    identity = Identity({"weights": "none: drawn at random"})
    identities = {
        Partition("caffenet", "synthetic", "noise", "image", name): identity for name in SHAPES
    }
    files = {
        name: np.lib.format.open_memmap(
            folder / f"{name}.npy", "w+", np.float32, (n_samples, c, h * w)
        )
        for name, (c, h, w) in SHAPES.items()
    }
    shard = []
    for batch in batches(n_samples):
        shard.append(batch)
        ids = batch.sample_ids
        for name, r in batch.layers.items():
            files[name][ids[0] : ids[-1] + 1] = r.act_max[..., None] if r.maps is None else r.maps
        if (ids[-1] + 1) % SHARD == 0 or ids[-1] + 1 == n_samples:
            write_shard(store.path, shard, identities)
            shard = []
    for file in files.values():
        file.flush()
    part = {"dataset": "noise", "view": "image", "split": "official", "seed": 0, "part": "test"}
    store.append("splits", ({**part, "sample_id": i} for i in range(n_samples)))


def table6(store: Store, *, explain: bool = False) -> list[dict[str, Any]]:
    """Answer Table 6 as the report does, from per-sample totals of the files' footers."""
    files = store.files(ckpt="synthetic")
    store.load_totals(files)
    sql, parameters = sparsity_sql(files, [Samples("noise", "image", "official", 0, "test")])
    return list(store.sql(("EXPLAIN " if explain else "") + sql, parameters).rows())


def table6_from_npy(folder: Path) -> dict[str, tuple[float, float]]:
    """Count non-zeros in memory-mapped files, as one would without a store."""
    result = {}
    for name in SHAPES:
        maps = np.load(folder / f"{name}.npy", mmap_mode="r")
        percent = np.array([100 * np.count_nonzero(m) / m.size for m in maps])
        result[name] = float(percent.mean()), float(percent.std(ddof=1))
    return result


def timed(run: Callable[[], object], rounds: int) -> float:
    """Return the median milliseconds, after one warm-up."""
    run()
    times = []
    for _ in range(rounds):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1e3


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--samples", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build(folder, given.samples)
        store = fstore.open(folder / "store")
        plan = "\n".join(row["explain_value"] for row in table6(store, explain=True))
        assert "map" not in plan, plan
        by_sql = {r["layer"]: (r["value"], r["std"]) for r in table6(store)}
        by_npy = table6_from_npy(folder)
        for layer, numbers in by_npy.items():
            assert np.allclose(by_sql[layer], numbers, rtol=1e-9), layer
        first = timed(lambda: table6(fstore.open(store.path)), given.rounds)
        rows = [
            (
                "Table 6, all layers",
                timed(lambda: table6(store), given.rounds),
                "the same from .npy",
                timed(lambda: table6_from_npy(folder), given.rounds),
            ),
            (
                "one conv5 filter",
                timed(lambda: store.sql(FILTER).arrow(), given.rounds),
                "the whole layer",
                timed(lambda: store.sql(LAYER).arrow(), given.rounds),
            ),
        ]
    print(f"{given.samples} samples, medians of {given.rounds} rounds; no map in Table 6's plan")
    print()
    print(f"(Table 6 as a session's first question, footers read: {first:.1f} ms)")
    print()
    print("| question | ms | against | ms | times |")
    print("| --- | ---: | --- | ---: | ---: |")
    for question, ours, against, theirs in rows:
        print(f"| {question} | {ours:.1f} | {against} | {theirs:.1f} | {theirs / ours:.1f} |")


if __name__ == "__main__":
    main()
