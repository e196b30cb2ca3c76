"""Speed of questions: a store of CaffeNet's shapes at the paper's densities, against .npy files.

    python benchmarks/query.py [--samples 2048] [--rounds 5]

- Table 6 over all seven layers of a checkpoint, as ``fstore report show table6`` computes it,
  against counting in memory-mapped .npy files that are warm in the page cache; the plan is checked
  to read no ``map``;
- one conv5 filter, summaries and maps, against the whole layer, both through ``fstore.open``;
- sparsity and the nine top images of all filters from footers and sidecars, against the same from
  rows; each is the first question of a new session, and the answers are compared;
- all maps of conv5 through the view, against ``read_parquet`` of the same files by DuckDB alone,
  which leaves zeros as NULL.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from _synthetic import SHAPES, batches

import fstore
from fstore.queries.reports.table6 import sparsity_sql
from fstore.store import Store
from fstore.store.files import Identity, Partition
from fstore.store.parts import Samples
from fstore.store.sink import write_shard
from fstore.types import LayerSpec

SHARD = 512
Row = tuple[str, float, str, float]  # question, ms, what it is held against, ms

FILTER = "SELECT sample_id, map FROM activations WHERE layer = 'conv5' AND channel = 100"
LAYER = "SELECT sample_id, channel, map FROM activations WHERE layer = 'conv5'"
TOTALS = "SELECT layer, sample_id, nnz FROM sample_totals ORDER BY ALL"
SUMS = """
    SELECT layer, sample_id, sum(nnz)::BIGINT AS nnz FROM activations GROUP BY ALL ORDER BY ALL
"""
KEPT = """
    SELECT channel, "rank", sample_id FROM strongest_samples
    WHERE layer = 'conv5' AND "rank" <= 9 ORDER BY ALL
"""
RANKED = """
    SELECT channel, row_number() OVER (PARTITION BY channel ORDER BY act_max DESC, sample_id)
        AS "rank", sample_id
    FROM activations WHERE layer = 'conv5' QUALIFY "rank" <= 9 ORDER BY ALL
"""


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
            write_shard(store.place, shard, identities)
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


def anew(store: Store, statement: str) -> pa.Table:
    """Answer a statement in a session of its own."""
    return fstore.open(store.path).sql(statement).arrow()


def both(store: Store, name: str, statements: tuple[str, str], *, rounds: int) -> Row:
    """Time a statement and the one that it stands for, whose answers must be equal."""
    ours, rows = (anew(store, statement) for statement in statements)
    assert ours.equals(rows.cast(ours.schema)), name
    first, second = (timed(partial(anew, store, s), rounds) for s in statements)
    return name, first, "the same from rows", second


def plain(store: Store) -> pa.Table:
    """Read the maps of conv5 by DuckDB alone; zeros stay NULL."""
    files = [file.uri for file in store.files(layer="conv5")]
    maps = "SELECT sample_id, channel, map FROM read_parquet(?)"
    return duckdb.connect().sql(maps, params=[files]).to_arrow_table()


def measured(store: Store, folder: Path, rounds: int) -> list[Row]:
    """Return the rows of the table."""
    layer = timed(lambda: store.sql(LAYER).arrow(), rounds)
    npy = timed(lambda: table6_from_npy(folder), rounds)
    return [
        ("Table 6, all layers", timed(lambda: table6(store), rounds), "the same from .npy", npy),
        ("one conv5 filter", timed(lambda: store.sql(FILTER).arrow(), rounds), "the layer", layer),
        both(store, "sparsity, all layers", (TOTALS, SUMS), rounds=rounds),
        both(store, "top 9 of all conv5 filters", (KEPT, RANKED), rounds=rounds),
        ("maps of conv5", layer, "read_parquet alone", timed(lambda: plain(store), rounds)),
    ]


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
        rows = measured(store, folder, given.rounds)
    print(f"{given.samples} samples, medians of {given.rounds} rounds; no map in Table 6's plan")
    print()
    print(f"(Table 6 as a session's first question, footers read: {first:.1f} ms)")
    print()
    print("| question | ms | against | ms | times |")
    print("| --- | ---: | --- | ---: | ---: |")
    for question, ours, against, theirs in rows:
        print(f"| {question} | {ours:.1f} | {against} | {theirs:.1f} | {theirs / ours:.2f} |")


if __name__ == "__main__":
    main()
