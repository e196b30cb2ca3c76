"""Sums of stored responses by each engine, reading and adding up by itself."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable

Sums = dict[tuple[str, str], list[float]]
"""(checkpoint, layer) -> rows; sums of act_max, act_sum, nnz and all map values; map values."""

SQL = """SELECT ckpt, layer, count(*), sum(act_max::DOUBLE), sum(act_sum), sum(nnz),
    sum(list_sum(list_transform(map, lambda x: x::DOUBLE))), sum(len(map)) FROM {} GROUP BY ALL"""


def _by_key(rows: list[Any]) -> Sums:
    return {(str(row[0]), str(row[1])): [float(value) for value in row[2:]] for row in rows}


def numpy_sums(values: Any) -> Sums:  # noqa: ANN401
    """Sum up responses of shape (samples, channels, positions) by checkpoint and layer."""
    sums = {}
    for key, x in values.items():
        flat = x.reshape(-1, x.shape[2]).astype(np.float64)
        largest = flat.max(axis=1).sum()
        total, nnz = flat.sum(), (flat != 0).sum()
        sums[key] = [len(flat), largest, total, nnz, total, flat.size]
    return sums


def polars_sums(rows: pl.LazyFrame) -> Sums:
    """Sum up a lazy frame."""
    wide = pl.col("map").list.eval(pl.element().cast(pl.Float64))
    sums = rows.group_by("ckpt", "layer").agg(
        pl.len(),
        pl.col("act_max").cast(pl.Float64).sum(),
        pl.col("act_sum").sum(),
        pl.col("nnz").sum(),
        wide.list.sum().sum().alias("total"),
        pl.col("map").list.len().sum().alias("values"),
    )
    return _by_key(sums.collect().rows())


def pyarrow_sums(table: pa.Table) -> Sums:
    """Sum up a table with Arrow's own functions; a map that is NULL, or holds one, would show."""
    maps = table["map"].combine_chunks()
    maps = maps.chunk(0) if isinstance(maps, pa.ChunkedArray) else maps
    row = pa.compute.list_parent_indices(maps)
    values = pa.compute.cast(pa.compute.list_flatten(maps), pa.float64())
    by_row = pa.table({"row": row, "value": values}).group_by("row")
    by_row = by_row.aggregate([("value", "sum"), ("value", "count")]).sort_by("row")
    assert len(by_row) == len(table)
    table = table.select(["ckpt", "layer", "act_max", "act_sum", "nnz"])
    table = table.append_column("total", by_row["value_sum"])
    table = table.append_column("values", by_row["value_count"])
    columns = ("act_max", "act_sum", "nnz", "total", "values")
    wide = pa.compute.cast(table["act_max"], pa.float64())
    table = table.set_column(2, "act_max", wide)
    sums = table.group_by(["ckpt", "layer"]).aggregate(
        [([], "count_all"), *((c, "sum") for c in columns)]
    )
    names = ["ckpt", "layer", "count_all", *(f"{c}_sum" for c in columns)]
    return _by_key([tuple(r.values()) for r in sums.select(names).to_pylist()])


def duckdb_sums(source: str | pa.Table) -> Sums:
    """Sum up files, given as a table function, or an Arrow table."""
    with duckdb.connect() as duck:
        if isinstance(source, pa.Table):
            duck.register("given", source)
        name = source if isinstance(source, str) else "given"
        return _by_key(duck.execute(SQL.format(name)).fetchall())


def daft_sums(rows: Any) -> Sums:  # noqa: ANN401
    """Sum up a frame of Daft's."""
    import daft

    column = daft.col
    wide = column("map").cast(daft.DataType.list(daft.DataType.float64()))
    rows = rows.select(
        "ckpt",
        "layer",
        column("act_max").cast(daft.DataType.float64()),
        "act_sum",
        "nnz",
        wide.list_sum().alias("total"),
        column("map").list_count().alias("values"),
    )
    sums = rows.groupby("ckpt", "layer").agg(
        column("nnz").count().alias("rows"),
        *(column(name).sum() for name in ("act_max", "act_sum", "nnz", "total", "values")),
    )
    names = ["ckpt", "layer", "rows", "act_max", "act_sum", "nnz", "total", "values"]
    return _by_key([tuple(row[name] for name in names) for row in sums.to_pylist()])


def spark_sums(folder: Path) -> Sums:
    """Sum up the Parquet files of a folder in a Spark session of one thread."""
    sql = pytest.importorskip("pyspark.sql", reason="pyspark is not installed")
    builder = sql.SparkSession.builder.master("local[1]")
    for name, value in (
        ("spark.ui.enabled", "false"),
        ("spark.driver.bindAddress", "127.0.0.1"),
        ("spark.driver.host", "127.0.0.1"),
        ("spark.sql.shuffle.partitions", "1"),
        ("spark.sql.sources.partitionColumnTypeInference.enabled", "false"),
    ):
        builder = builder.config(name, value)
    try:
        spark = builder.getOrCreate()
    except Exception as error:  # noqa: BLE001 - of whatever kind: without Java there is no Spark
        pytest.skip(f"Spark does not start: {error}")
    try:
        # the log beside them is no Parquet of rows, so Spark ignores it: its name begins with _
        sums = (
            spark.read.parquet(str(folder))
            .groupBy("ckpt", "layer")
            .agg(
                *(
                    sql.functions.expr(text)
                    for text in (
                        "count(*)",
                        "sum(double(act_max))",
                        "sum(act_sum)",
                        "sum(nnz)",
                        "sum(aggregate(map, double(0), (a, x) -> a + x))",
                        "sum(size(map))",
                    )
                )
            )
        )
        return _by_key([tuple(row) for row in sums.collect()])
    finally:
        spark.stop()


def _daft_copy(folder: Path) -> Sums:
    daft = pytest.importorskip("daft", reason="daft is not installed")
    return daft_sums(daft.read_deltalake(str(folder)))


def _daft_scan(rows: pl.LazyFrame) -> Sums:
    daft = pytest.importorskip("daft", reason="daft is not installed")
    return daft_sums(daft.from_arrow(rows.collect().to_arrow()))


def _hive(folder: Path) -> str:
    names = ("network", "ckpt", "dataset", '"view"', "layer")
    types = ", ".join(f"{name}: VARCHAR" for name in names)
    return (
        f"read_parquet('{folder}/**/*.parquet', hive_partitioning = true, hive_types = {{{types}}})"
    )


OF_COPY: dict[str, Callable[[Path], Sums]] = {
    "polars": lambda folder: polars_sums(pl.scan_delta(str(folder))),
    "pyarrow": lambda folder: pyarrow_sums(DeltaTable(str(folder)).to_pyarrow_table()),
    "duckdb": lambda folder: duckdb_sums(_hive(folder)),
    "daft": _daft_copy,
    "spark": spark_sums,
}
OF_SCAN: dict[str, Callable[[pl.LazyFrame], Sums]] = {
    "polars": polars_sums,
    "pyarrow": lambda rows: pyarrow_sums(rows.collect().to_arrow()),
    "duckdb": lambda rows: duckdb_sums(rows.collect().to_arrow()),
    "daft": _daft_scan,
}
