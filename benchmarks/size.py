"""Bytes on disk by layer: synthetic activations at the paper's densities, or those of a store.

    python benchmarks/size.py                     # synthetic, also pyarrow's writer beside ours
    python benchmarks/size.py --store STORE       # every layer of a store

The bound is 0.5 x density + 0.12 of the layer's raw float32, all columns and footers counted.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
from _synthetic import DENSITIES, SHAPES, responses
from pyarrow import parquet as pq

from fstore.store import Store
from fstore.store.encode import write_layer
from fstore.types import LayerResponses

N_SAMPLES = 512
HEAD = "| layer | density | bytes/raw | bound | over 0.5 x density |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--store", type=Path)
    given = parser.parse_args()
    if given.store:
        of_store(Store.open(given.store))
    else:
        synthetic()


def of_store(store: Store) -> None:
    """Print the size of every layer in a store."""
    rows = store.sql(
        """
        SELECT network || ' ' || dataset || '.' || "view" || ' ' || layer AS name,
            sum(nnz::DOUBLE) / (count(*) * any_value(positions)) AS density,
            4 * count(*) * any_value(positions) AS raw, any_value("order") AS place
        FROM activations JOIN
            (SELECT network, layer, height * width AS positions, "order" FROM layers)
            USING (network, layer)
        GROUP BY network, ckpt, dataset, "view", layer ORDER BY network, dataset, "view", place
        """
    ).rows()
    sizes: dict[str, int] = {}
    for file in store.files():
        p = file.partition
        name = f"{p.network} {p.dataset}.{p.view} {p.layer}"
        sizes[name] = sizes.get(name, 0) + Path(file.uri).stat().st_size
    print(HEAD)
    print("| --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        line(row["name"], row["density"], sizes[row["name"]] / row["raw"])


def line(name: str, density: float, ratio: float, more: str = "") -> None:
    """Print one layer."""
    bound = 0.5 * density + 0.12
    mark = "" if ratio <= bound else " OVER"
    print(
        f"| {name} | {density:.3f} | {ratio:.3f} | {bound:.3f}{mark} | "
        f"{ratio - 0.5 * density:+.3f} |{more}"
    )


def synthetic() -> None:
    """Write each layer with our writer and with pyarrow's, warm; print sizes and CPU time."""
    random = np.random.default_rng(0)
    print(HEAD + " ms CPU/image | pyarrow bytes/raw | ms CPU/image |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    total = peer = 0.0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.parquet"
        for layer, shape in SHAPES.items():
            cut = [responses(random, 32, shape, DENSITIES[layer]) for _ in range(N_SAMPLES // 32)]
            raw = 4 * N_SAMPLES * shape[0] * shape[1] * shape[2]
            ours, theirs = ours_ms(path, cut), pyarrow_ms(path.with_suffix(".pa"), cut)
            ratio, other = path.stat().st_size / raw, path.with_suffix(".pa").stat().st_size / raw
            total, peer = total + ours, peer + theirs
            more = f" {ours:.2f} | {other:.3f} | {theirs:.2f} |"
            line(layer, DENSITIES[layer], ratio, more)
    print(f"\nall layers: {total:.2f} ms CPU an image, pyarrow's writer {peer:.2f} ms")


def ours_ms(path: Path, cut: list[LayerResponses]) -> float:
    """Return the least CPU milliseconds a sample of three runs of our writer."""
    ids = [np.arange(32 * i, 32 * i + 32) for i in range(len(cut))]
    times = []
    for _ in range(3):
        started = time.process_time()
        write_layer(path, ids, cut, metadata={})
        times.append(time.process_time() - started)
    return min(times) / N_SAMPLES * 1e3


def pyarrow_ms(path: Path, cut: list[LayerResponses]) -> float:
    """Return the same for pyarrow: byte-stream-split and zstd 1, dense, same row groups."""
    times = []
    for _ in range(3):
        started = time.process_time()
        write_with_pyarrow(path, cut)
        times.append(time.process_time() - started)
    return min(times) / N_SAMPLES * 1e3


def write_with_pyarrow(path: Path, cut: list[LayerResponses]) -> None:
    """Write the same columns, zeros as zeros."""
    n_channels = cut[0].act_max.shape[1]
    maps = [c.maps for c in cut if c.maps is not None]
    positions = maps[0].shape[2] if maps else 1
    step = max(1, (1 << 20) // (4 * positions * N_SAMPLES))
    writer = None
    for start in range(0, n_channels, step):
        stop = min(start + step, n_channels)
        table = _group(cut, start, stop)
        if writer is None:
            writer = pq.ParquetWriter(
                path,
                table.schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=["channel", "nnz", "npos", "argmax"],
                column_encoding={
                    "sample_id": "DELTA_BINARY_PACKED",
                    "act_max": "BYTE_STREAM_SPLIT",
                    "act_sum": "BYTE_STREAM_SPLIT",
                    "map.list.element": "BYTE_STREAM_SPLIT",
                },
                write_statistics=["sample_id", "channel"],
                write_page_checksum=True,
            )
        writer.write_table(table, row_group_size=table.num_rows)
    assert writer is not None
    writer.close()


def _group(cut: list[LayerResponses], start: int, stop: int) -> pa.Table:
    columns: dict[str, pa.Array] = {
        "sample_id": pa.array(np.tile(np.arange(N_SAMPLES), stop - start)),
        "channel": pa.array(np.repeat(np.arange(start, stop, dtype=np.int32), N_SAMPLES)),
    }
    for name in ("act_max", "act_sum", "nnz", "npos", "argmax"):
        parts = [getattr(c, name) for c in cut]
        columns[name] = (
            pa.nulls(N_SAMPLES * (stop - start), pa.float64())
            if parts[0] is None
            else pa.array(np.concatenate(parts)[:, start:stop].T.reshape(-1))
        )
    maps = [c.maps[:, start:stop] for c in cut if c.maps is not None]
    values = (
        np.concatenate(maps).swapaxes(0, 1).reshape(-1) if maps else np.empty(0, dtype=np.float32)
    )
    positions = maps[0].shape[2] if maps else 0
    n_rows = N_SAMPLES * (stop - start)
    offsets = np.arange(n_rows + 1, dtype=np.int32) * positions
    columns["map"] = pa.ListArray.from_arrays(pa.array(offsets), pa.array(values))
    return pa.table(columns)


if __name__ == "__main__":
    main()
