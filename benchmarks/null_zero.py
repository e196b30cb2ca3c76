"""Zeros as NULL or as 0 in Parquet: bytes, and time to read, of layers of a store.

    python benchmarks/null_zero.py STORE --layer conv5 --layer fc7 --files 3

Each file's responses are written twice by fstore's own writer. A reading sums up all maps: NULLs
are filled with 0 where they are stored. The least of three readings, in processor time.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet as pq

from fstore.store import Store, encode
from fstore.store.files import StoredFile
from fstore.store.frames import fill_zeros
from fstore.types import LayerResponses


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--layer", action="append", required=True)
    parser.add_argument("--files", type=int, default=2, help="of each layer")
    given = parser.parse_args()
    store = Store.open(given.store)
    print("| layer | non-zero | kB, NULL | kB, 0 | pyarrow ms, NULL | 0 | DuckDB ms, NULL | 0 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for layer in given.layer:
        totals = np.sum([measure(file) for file in store.files(layer=layer)[: given.files]], axis=0)
        print(f"| {layer} | " + " | ".join(cells(totals)) + " |")


def cells(totals: np.ndarray) -> list[str]:
    """Return the sums of files as cells of a row."""
    nonzero, values, *others = totals
    sizes, times = others[:2], others[2:]
    return [f"{nonzero / values:.2f}", *(f"{n / 1e3:.0f}" for n in sizes)] + [
        f"{1e3 * t:.1f}" for t in times
    ]


def measure(file: StoredFile) -> np.ndarray:
    """Return non-zeros, values, bytes as NULL and as 0, and seconds of both for two engines."""
    rows = fill_zeros(file.parquet().read())
    n_samples = len(rows) // (int(pc.max(rows["channel"]).as_py()) + 1)
    ids = rows["sample_id"].to_numpy()[:n_samples]

    def shaped(name: str) -> np.ndarray:
        values: np.ndarray = rows[name].to_numpy().reshape(-1, n_samples).T.copy()
        return values

    flat = rows["map"].combine_chunks().flatten().to_numpy()
    maps = flat.reshape(-1, n_samples, len(flat) // len(rows)).swapaxes(0, 1).copy()
    columns = {name: shaped(name) for name in ("act_max", "act_sum", "nnz", "npos", "argmax")}
    if maps.shape[2] == 1:
        responses = LayerResponses(act_max=columns["act_max"])
    else:
        responses = LayerResponses(**columns, maps=maps)
    with tempfile.TemporaryDirectory() as folder:
        written = []
        for name, threshold in (("null", 2.0), ("zero", 0.0)):
            encode.SPARSE = threshold
            path = Path(folder) / name
            encode.write_layer(path, [ids], [responses], metadata={})
            written.append(path)
        sizes = [path.stat().st_size for path in written]
        times = [least(read, path) for read in (by_pyarrow, by_duckdb) for path in written]
    return np.array([np.count_nonzero(maps), maps.size, *sizes, *times])


def least(read: Callable[[Path], object], path: Path) -> float:
    """Return the processor seconds of the quickest of three readings."""
    seconds = []
    for _ in range(3):
        began = time.process_time()
        read(path)
        seconds.append(time.process_time() - began)
    return min(seconds)


def by_pyarrow(path: Path) -> object:
    """Add up all values, NULL as 0."""
    table = pq.ParquetFile(path).read(columns=["act_max", "map"])
    maps = table["map"].combine_chunks()
    maps = maps.chunk(0) if isinstance(maps, pa.ChunkedArray) else maps
    values = maps.flatten() if len(maps.flatten()) else table["act_max"]
    return pc.sum(pc.fill_null(values, pa.scalar(0, pa.float32())))


def by_duckdb(path: Path) -> object:
    """Average over all values, NULL as 0."""
    empty = path.name == "zero"
    each = "map" if empty else "list_transform(map, lambda x: coalesce(x, 0))"
    asked = f"SELECT sum(list_sum({each})), sum(coalesce(act_max, 0)) FROM read_parquet('{path}')"
    return duckdb.execute(asked).fetchall()


if __name__ == "__main__":
    main()
