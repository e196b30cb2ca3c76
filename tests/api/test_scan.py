"""``store.scan``: what SQL's view has, as a lazy Polars frame that leaves conditions to files."""

import re
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable
from pyarrow import parquet as pq

import fstore
from _build import add_checkpoint, add_dataset, add_layers, put, relu
from conftest import Known
from fstore.errors import UnknownNameError
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.frames import fill_zeros

LAYERS = ("conv1", "fire2/concat", "fc7")
SHAPES = {"conv1": (3, 4, 4), "fire2/concat": (5, 4, 4), "fc7": (6, 1, 1)}


def _check(rows: pl.DataFrame, x: np.ndarray) -> None:
    """Compare rows, by channel and sample, with responses (samples, channels, positions)."""
    rows = rows.sort("sample_id", "channel")
    flat = x.reshape(-1, x.shape[2])
    assert rows["act_max"].to_list() == flat.max(axis=1).tolist()
    assert rows["act_sum"].to_numpy() == pytest.approx(flat.sum(axis=1, dtype=np.float64))
    assert rows["nnz"].to_list() == (flat != 0).sum(axis=1).tolist()
    assert rows["npos"].to_list() == (flat > 0).sum(axis=1).tolist()
    assert rows["argmax"].to_list() == flat.argmax(axis=1).tolist()
    assert rows["map"].to_list() == flat.tolist()


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("ckpt", ["5", "005"])
def test_a_scan_has_what_was_stored(known: Known, layer: str, ckpt: str) -> None:
    """Each column of a scan is computed from the responses that were stored, zeros included."""
    rows = fstore.open(known.store.path).scan(layer, ckpt, "d").collect()
    assert rows.columns == known.store.sql("FROM activations LIMIT 0").arrow().schema.names
    assert set(rows["ckpt"]) == {ckpt}
    assert not any(rows.null_count().row(0))
    _check(rows, known.values[ckpt, layer])


@pytest.mark.parametrize("layer", LAYERS)
def test_files_and_filling_have_what_was_stored(known: Known, layer: str) -> None:
    """The listed files, their NULLs filled by the function for Arrow, hold the same."""
    files = fstore.open(known.store.path).parquet_files(layer, "5", "d")
    assert {file.partition["layer"] for file in files} == {layer}
    table = pa.concat_tables(fill_zeros(pq.ParquetFile(file.uri).read()) for file in files)
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    _check(frame, known.values["5", layer])


def test_conditions_and_columns_reach_the_files(known: Known) -> None:
    """A condition on the channel, and unused columns, are left to the reader of Parquet."""
    frame = fstore.open(known.store.path).scan("conv1", "5", "d")
    asked = frame.filter(pl.col("channel") == 1).select("sample_id", "act_max")
    plan = asked.explain()
    assert "Parquet SCAN" in plan
    assert re.search(r'SELECTION: \W*col\("channel"\)\)? == \(?1', plan)
    assert "PROJECT 3/8 COLUMNS" in plan or "PROJECT 2/8 COLUMNS" in plan
    assert asked.collect().height == 12


def test_columns_are_chosen_and_checked(known: Known) -> None:
    """``columns`` are those of the frame, in order; one that is not there is named."""
    store = fstore.open(known.store.path)
    assert store.scan("fc7", "5", "d", columns=["nnz", "ckpt"]).collect().columns == ["nnz", "ckpt"]
    with pytest.raises(UnknownNameError, match="has no column 'maps'"):
        store.scan("fc7", "5", "d", columns=["maps"])


def test_a_scan_after_another_program_rewrote_the_files(tmp_path: Path) -> None:
    """Files of another Delta writer are scanned as ours are."""
    store = Store.create(tmp_path / "s%&")
    add_dataset(store)
    add_layers(store, "net", SHAPES)
    add_checkpoint(store, "net", "5")
    x = np.maximum(relu(3, 6, 5, 16) - np.float32(0.5), 0)
    put(store, Partition("net", "5", "d", "image", "fire2/concat"), x)
    DeltaTable(str(store.path / "activations")).delete("channel = 1")
    rows = fstore.open(store.path).scan("fire2/concat", "5", "d").collect()
    _check(rows, np.delete(x, 1, axis=1))


def test_numbers_that_are_none(tmp_path: Path) -> None:
    """NaN and negative zero come out of both routes as SQL has them."""
    store = Store.create(tmp_path / "s")
    add_dataset(store)
    add_layers(store, "net", {"fc": (3, 1, 1)})
    add_checkpoint(store, "net", "5")
    x = np.array([[[np.nan], [-0.0], [0.0]], [[0.0], [0.0], [-2.0]]], np.float32)
    put(store, Partition("net", "5", "d", "image", "fc"), x)
    api = fstore.open(store.path)
    asked = "SELECT sample_id, channel, nnz, npos FROM activations ORDER BY 1, 2"
    wanted = list(store.sql(asked).rows())
    rows = api.scan("fc", "5", "d").sort("sample_id", "channel").collect()
    filled = fill_zeros(pq.ParquetFile(api.parquet_files("fc", "5", "d")[0].uri).read())
    filled = filled.sort_by([("sample_id", "ascending"), ("channel", "ascending")])
    for name in ("nnz", "npos"):
        assert rows[name].to_list() == [row[name] for row in wanted]
        assert filled[name].to_pylist() == [row[name] for row in wanted]
