"""What the docs say of other readers of a store: each row of the table is run here."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from deltalake import DeltaTable
from pyarrow import dataset as ds
from pyarrow import parquet as pq

from _build import Built, build, put
from fstore.store.schema import PARTITION

Means = dict[str, float]
"""Checkpoint -> mean of act_max of layer fc, zeros counted."""


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Make a store with checkpoints 5 and 005, whose numbers are equal and whose texts differ."""
    built = build(tmp_path / "s")
    put(built.store, built.partition("fc", "005"), built.values["fc"] * 2)
    return built


def files_of(built: Built) -> list[str]:
    """List the files that the log has; what lies beside them is nobody's."""
    return [file.uri for file in built.store.files()]


def by_duckdb(built: Built) -> Means:
    """Read with hive types, and a coalesce."""
    import duckdb

    types = ", ".join(f"'{name}': VARCHAR" for name in PARTITION)
    query = f"""SELECT ckpt, avg(coalesce(act_max, 0)) FROM read_parquet({files_of(built)},
        hive_partitioning = true, hive_types = {{{types}}}) WHERE layer = 'fc' GROUP BY ckpt"""
    return dict(duckdb.connect().sql(query).fetchall())


def by_polars(built: Built) -> Means:
    """Read with a hive schema, and fill_null."""
    import polars as pl

    frame = pl.scan_parquet(files_of(built), hive_schema=dict.fromkeys(PARTITION, pl.String))
    fc = frame.filter(pl.col("layer") == "fc").with_columns(pl.col("act_max").fill_null(0))
    means = fc.group_by("ckpt").agg(pl.col("act_max").mean()).collect()
    return dict(means.iter_rows())


def by_pyarrow(built: Built) -> Means:
    """Read with a partitioning of texts, and fill_null."""
    keys = pa.schema([(name, pa.string()) for name in PARTITION])
    root = str(built.store.path / "activations")
    table = ds.dataset(
        files_of(built), partitioning=ds.partitioning(keys, flavor="hive"), partition_base_dir=root
    ).to_table(filter=pc.field("layer") == "fc")
    return _means(table)


def by_deltalake(built: Built) -> Means:
    """Read the table, whose log has the types, and fill_null."""
    table = DeltaTable(str(built.store.path / "activations")).to_pyarrow_table()
    return _means(table.filter(pc.equal(table["layer"], "fc")))


def by_pandas(built: Built) -> Means:
    """Read by the Delta table, and fillna."""
    frame = DeltaTable(str(built.store.path / "activations")).to_pandas()
    fc = frame[frame["layer"] == "fc"].fillna({"act_max": 0})
    return {str(ckpt): float(mean) for ckpt, mean in fc.groupby("ckpt")["act_max"].mean().items()}


def _means(table: pa.Table) -> Means:
    filled = table.set_column(
        table.schema.get_field_index("act_max"), "act_max", pc.fill_null(table["act_max"], 0)
    )
    rows = filled.group_by("ckpt").aggregate([("act_max", "mean")]).to_pylist()
    return {row["ckpt"]: row["act_max_mean"] for row in rows}


READERS: dict[str, Callable[[Built], Means]] = {
    "DuckDB": by_duckdb,
    "Polars": by_polars,
    "pyarrow.dataset": by_pyarrow,
    "deltalake": by_deltalake,
    "pandas": by_pandas,
}


@pytest.mark.parametrize("name", READERS)
def test_a_reader_that_does_what_the_docs_say(built: Built, name: str) -> None:
    """Zeros are counted, and checkpoints 5 and 005 stay two."""
    mean = float(built.values["fc"].mean(dtype=np.float64))
    assert READERS[name](built) == pytest.approx({"5": mean, "005": 2 * mean}, rel=1e-6)


def test_the_docs_table_lists_the_readers_that_are_run() -> None:
    """A reader stands in the docs if, and only if, a test reads with it."""
    text = (Path(__file__).parents[2] / "docs" / "store.md").read_text()
    table = text.split("| reader | ")[1].split("\n\n")[0].splitlines()[2:]
    assert [line.split("|")[1].strip() for line in table] == list(READERS)


def test_the_footer_says_what_null_means(built: Built) -> None:
    """A reader that looks at the footer is told which columns have NULL in place of 0."""
    for path in files_of(built):
        footer = pq.read_metadata(path).metadata
        assert json.loads(footer[b"fstore.null_means"]) == {"act_max": 0, "map": 0}
    table = DeltaTable(str(built.store.path / "activations"))
    assert "NULL in act_max and in map stands for 0" in str(table.metadata().description)
