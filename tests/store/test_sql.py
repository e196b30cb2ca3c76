"""Views give what was stored; results come in every form."""

import gc
import re
import tempfile
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from pyarrow import parquet as pq

from _build import add_dataset, add_layers, put, relu
from conftest import CKPTS, NETWORK, SHAPES, Known
from fstore.errors import QueryError, StorageError
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.schema import PARTITION, SUMMARIES, TABLES
from fstore.store.sql import Session
from fstore.store.status import STATUS_COLUMNS, status

ROWS = """
    SELECT * FROM activations WHERE layer = ? AND ckpt = ? ORDER BY sample_id, channel
"""


@pytest.mark.parametrize("ckpt", CKPTS)
@pytest.mark.parametrize("layer", SHAPES)
def test_values(known: Known, layer: str, ckpt: str) -> None:
    """Maps come back bit for bit, zeros as 0, and the summaries are those of the maps."""
    x = known.values[ckpt, layer]
    rows = known.store.sql(ROWS, [layer, ckpt]).arrow()
    maps = np.array(rows["map"].to_pylist(), dtype=np.float32).reshape(x.shape)
    assert np.array_equal(maps, x)
    expected = {
        "act_max": x.max(axis=2),
        "act_sum": x.sum(axis=2, dtype=np.float64),
        "nnz": (x != 0).sum(axis=2),
        "npos": (x > 0).sum(axis=2),
        "argmax": x.argmax(axis=2),
    }
    for column, values in expected.items():
        assert rows[column].null_count == 0
        assert np.array_equal(rows[column].to_numpy(), values.reshape(-1)), column
    assert rows["sample_id"].to_pylist() == [s for s in range(12) for _ in range(x.shape[1])]


def test_zeros_are_null_on_disk(known: Known) -> None:
    """Sparse layers hold NULL for 0, dense ones do not; a reader of the files must know."""
    for layer, zeros_are_null in {"conv1": False, "fire2/concat": True}.items():
        file = Path(known.store.files(layer=layer, ckpt="5")[0].uri)
        maps = pq.read_table(file, columns=["map"], partitioning=None)["map"].combine_chunks()
        assert (maps.values.null_count > 0) == zeros_are_null


def test_fully_connected_on_disk(known: Known) -> None:
    """Where a map is 1x1 only the value is stored."""
    file = Path(known.store.files(layer="fc7", ckpt="5")[0].uri)
    rows = pq.read_table(file, partitioning=None)
    for column in ("act_sum", "nnz", "npos", "argmax", "map"):
        assert rows[column].null_count == len(rows)


def test_polars_reads_the_files(known: Known) -> None:
    """DuckDB over the views and Polars over the files agree, NULL on disk meaning 0."""
    ours = known.store.sql(
        """SELECT ckpt, layer, channel, sum(act_max) AS total, max(list_sum(map)) AS peak
           FROM activations WHERE layer != 'fc7' GROUP BY ALL ORDER BY ALL"""
    ).polars()
    files = [f.uri for f in known.store.files()]
    theirs = (
        pl.scan_parquet(files, hive_schema=dict.fromkeys(PARTITION, pl.String))
        .filter(pl.col("layer") != "fc7")
        .group_by("ckpt", "layer", "channel")
        .agg(
            total=pl.col("act_max").fill_null(0).cast(pl.Float64).sum(),
            peak=pl.col("map").list.eval(pl.element().fill_null(0)).list.sum().max(),
        )
        .sort("ckpt", "layer", "channel")
        .collect()
    )
    assert ours.select("ckpt", "layer", "channel").equals(theirs.select("ckpt", "layer", "channel"))
    assert np.allclose(ours["total"], theirs["total"], rtol=1e-12)
    assert np.allclose(ours["peak"], theirs["peak"], rtol=1e-5)  # Polars adds in float32


def test_names_stay_text(store: Store) -> None:
    """Checkpoints `5` and `005` are two texts, names with a slash or colon are themselves."""
    names = "SELECT DISTINCT ckpt, network, layer FROM activations WHERE layer LIKE '%/%'"
    rows = store.sql(names + " ORDER BY ckpt").rows()
    assert [(r["ckpt"], r["network"], r["layer"]) for r in rows] == [
        ("005", NETWORK, "fire2/concat"),
        ("5", NETWORK, "fire2/concat"),
    ]
    count = "SELECT count(*) AS n FROM activations WHERE ckpt = ?"
    assert store.sql(count, ["5"]).arrow()["n"].to_pylist() == [12 * 14]
    assert store.sql(count, ["0005"]).arrow()["n"].to_pylist() == [0]


def plan(store: Store, query: str) -> str:
    """Return DuckDB's plan of a query."""
    return "".join(str(row["explain_value"]) for row in store.sql("EXPLAIN " + query).rows())


def test_partitions_prune(store: Store) -> None:
    """A condition on partition columns leaves the other partitions' files alone."""
    query = "SELECT sum(nnz) FROM activations WHERE layer = 'conv1' AND ckpt = '005'"
    assert re.search(r"Total Files Read: 1\b", plan(store, f"ANALYZE {query}"))
    # A condition that fstore does not use (prune.py) is DuckDB's, which opens no other file.
    text = plan(store, "SELECT sum(nnz) FROM activations WHERE layer || ckpt = 'conv1005'")
    assert re.search(r"Scanning Files: 1/6", text), text


def test_summaries_leave_maps_alone(store: Store) -> None:
    """Summary columns are read without the maps, on layers of every kind."""
    query = (
        "SELECT layer, sum(nnz), max(act_max), sum(npos), max(argmax) FROM activations GROUP BY 1"
    )
    assert not re.search(r"\bmap\b", plan(store, query))
    assert re.search(r"\bmap\b", plan(store, "SELECT sum(sp_max(map)) FROM activations"))


def test_two_open_results(store: Store) -> None:
    """Results may be read in turns, and a new query leaves open ones alone."""
    first = store.sql("SELECT i FROM range(9000) AS t(i)").batches(1000)
    second = store.sql("SELECT sample_id FROM samples ORDER BY 1").rows()
    a = first.read_next_batch()
    assert next(second) == {"sample_id": 0}
    assert store.sql("SELECT 1 AS x").arrow().to_pylist() == [{"x": 1}]
    rest = first.read_all()
    assert a.num_rows + rest.num_rows == 9000
    assert [r["sample_id"] for r in second] == list(range(1, 12))


def test_many_threads(store: Store) -> None:
    """Several threads may ask one store at once."""
    found: list[object] = []

    def ask() -> None:
        rows = store.sql("SELECT count(*) AS n FROM activations WHERE layer = 'conv1'").arrow()
        found.append(rows["n"][0].as_py())

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [72] * 8


def test_views_follow_commits(empty: Store) -> None:
    """What is committed after a session began is in its next answer."""
    count = "SELECT count(*) AS n, count(DISTINCT layer) AS layers FROM activations"
    assert empty.sql(count).arrow().to_pylist() == [{"n": 0, "layers": 0}]
    for n, layer in enumerate(("conv1", "fc"), start=1):
        put(empty, Partition("net", "5", "d", "image", layer), relu(n, 2, 3, 4))
        assert empty.sql(count).arrow().to_pylist() == [{"n": 6 * n, "layers": n}]
        assert empty.sql("SELECT count(*) AS n FROM partitions").arrow()["n"].to_pylist() == [n]
    assert empty.sql("SELECT count(*) AS n FROM layers").arrow()["n"].to_pylist() == [0]
    add_layers(empty, "net", {"conv1": (3, 2, 2)})
    assert empty.sql("SELECT count(*) AS n FROM layers").arrow()["n"].to_pylist() == [1]


def test_types_of_empty_tables(empty: Store, known: Known) -> None:
    """An empty store has every table, with the columns and types of a filled one."""
    for name in (*TABLES, *SUMMARIES, "all_labels", "partitions"):
        types = [
            [(r["column_name"], r["column_type"]) for r in s.sql(f'DESCRIBE "{name}"').rows()]
            for s in (empty, known.store)
        ]
        assert types[0] == types[1], name
        if known_table := (TABLES | SUMMARIES).get(name):
            assert [column for column, _ in types[0]] == known_table.schema.names


def test_partitions_are_the_status(known: Known) -> None:
    """View `partitions` lists what the status lists."""
    rows = known.store.sql(f"SELECT {', '.join(STATUS_COLUMNS)} FROM partitions").rows()
    key = STATUS_COLUMNS[:5]

    def place(row: dict[str, object]) -> tuple[object, ...]:
        return tuple(row[c] for c in key)

    assert sorted(rows, key=place) == sorted(status(known.store.place), key=place)


def test_all_labels(store: Store) -> None:
    """Every class of every sample has a label: 1 or, where nothing is stored, -1."""
    rows = store.sql("SELECT sample_id, class, label FROM all_labels ORDER BY ALL").rows()
    assert [(r["sample_id"], r["class"], r["label"]) for r in rows] == [
        (i, c, 1 if "ab"[i % 2] == c else -1) for i in range(12) for c in "ab"
    ]


def test_forms_of_a_result(store: Store) -> None:
    """Arrow, Polars, pandas, rows and batches hold the same."""
    query = "SELECT layer, channel, count(*) AS n FROM activations GROUP BY ALL ORDER BY ALL"
    expected = store.sql(query).arrow().to_pylist()
    assert store.sql(query).polars().to_dicts() == expected
    assert store.sql(query).pandas().to_dict("records") == expected
    assert list(store.sql(query).rows()) == expected
    assert store.sql(query).batches().read_all().to_pylist() == expected
    assert store.sql(query).columns == ["layer", "channel", "n"]


def test_columns_of_one_name(store: Store, tmp_path: Path) -> None:
    """A second column of a name gets a number, in every form."""
    query = "SELECT 1 AS a, 2 AS a, 3 AS a_1, 4 AS A"
    names = ["a", "a_1", "a_1_1", "A"]
    assert store.sql(query).columns == names
    assert store.sql(query).arrow().schema.names == names
    assert list(store.sql(query).rows()) == [dict(zip(names, (1, 2, 3, 4), strict=True))]
    file = store.sql(query).write_parquet(tmp_path / "x.parquet")
    assert pl.read_parquet(file).row(0) == (1, 2, 3, 4)


def test_write_parquet(store: Store, tmp_path: Path) -> None:
    """A file is written whole or not at all, and replaced only when asked."""
    query = "SELECT *, 'NaN'::FLOAT AS nan, NULL AS nothing, now() AS at FROM activations"
    file = store.sql(query).write_parquet(tmp_path / "x.parquet")
    rows = pq.read_table(file)
    assert (rows.num_rows, rows["nothing"].null_count) == (2 * 12 * 14, 2 * 12 * 14)
    assert rows.schema.field("map").type == pa.list_(pa.float32())
    with pytest.raises(StorageError, match="exists"):
        store.sql("SELECT 1 AS a").write_parquet(file)
    before = file.read_bytes()
    fails = "SELECT CASE WHEN i < 20000 THEN 1 ELSE error('late') END AS a FROM range(30000) t(i)"
    with pytest.raises(QueryError, match="late"):
        store.sql(fails).write_parquet(file, overwrite=True)
    assert file.read_bytes() == before
    store.sql("SELECT 1 AS a").write_parquet(file, overwrite=True)
    assert pq.read_table(file).to_pylist() == [{"a": 1}]
    assert [p.name for p in tmp_path.iterdir()] == ["x.parquet"]
    with pytest.raises(StorageError, match="cannot write"):
        store.sql("SELECT 1 AS a").write_parquet(tmp_path / "none" / "x.parquet")


def test_errors_are_named(store: Store) -> None:
    """A query that does not bind, or fails on the way, is a QueryError that says why."""
    with pytest.raises(QueryError, match="conv9"):
        store.sql("SELECT conv9 FROM activations")
    late = store.sql("SELECT error('too late') FROM samples")
    with pytest.raises(QueryError, match="too late"):
        late.arrow()
    with pytest.raises(QueryError, match="too late"):
        list(store.sql("SELECT error('too late') FROM samples").rows())
    with pytest.raises(QueryError, match="too late"):
        store.sql("SELECT error('too late') FROM samples").batches().read_all()
    with pytest.raises(QueryError, match=r"[Pp]arameter"):
        store.sql("SELECT ?").arrow()


def test_spills_leave_nothing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A query larger than the memory limit spills beside neither the store nor the caller."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temp"))
    (tmp_path / "temp").mkdir()
    session = Session(store.place, memory_limit="60MB", threads=1)
    query = """
        SELECT sum(r) AS n
        FROM (SELECT row_number() OVER (ORDER BY hash(i)) AS r FROM range(2000000) t(i))
    """
    result = session.query(query)
    assert list(result.rows()) == [{"n": 2_000_000 * 2_000_001 // 2}]
    assert [p.name for p in tmp_path.iterdir()] == ["temp"]
    assert list((tmp_path / "temp").iterdir()), "nothing was spilled: the test needs more rows"
    del session, result
    gc.collect()
    assert not list((tmp_path / "temp").iterdir())


def test_window_aggregates_see_the_chosen_partitions_only(tmp_path: Path) -> None:
    """An aggregate over a partition equals the same by GROUP BY: other views' rows stay out."""
    store = Store.create(tmp_path / "s")
    for name in ("d", "e"):  # both have images i0, i1, ..., in partitions of their own
        add_dataset(store, name)
    rows = store.sql(
        """
        SELECT image_id, count(*) OVER (PARTITION BY image_id) AS n,
            min(dataset) OVER (PARTITION BY image_id) AS first
        FROM samples WHERE dataset = 'e' ORDER BY image_id
        """
    ).arrow()
    assert rows["image_id"].to_pylist() == [f"i{n}" for n in range(6)]
    assert set(rows["n"].to_pylist()) == {1}
    assert set(rows["first"].to_pylist()) == {"e"}
