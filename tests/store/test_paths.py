"""Paths and URIs are never taken for each other, and partition values come from the log."""

import shutil
from pathlib import Path

import pytest
from deltalake import DeltaTable

from _build import build, put
from fstore.errors import IdentityError, StorageError
from fstore.store import Store
from fstore.store.export import export_features
from fstore.store.paths import local_path

QUERY = "SELECT ckpt, layer, count(*) AS n FROM activations GROUP BY ALL ORDER BY ALL"
ODD = ["a b", "ü", "e\u0301", "漢字", "a#b", "a?b", "a*b", "100%", "{x}", "it's", "layer=all", "x."]


@pytest.mark.parametrize("name", [*ODD, "ckpt=305k", "sample_id=3", "dataset=q"])
def test_a_folder_above_changes_nothing(tmp_path: Path, name: str) -> None:
    """SQL gives the log's partitions, pruned, whatever a folder above is named."""
    built = build(tmp_path / "s")
    (tmp_path / name).mkdir()
    shutil.move(tmp_path / "s", tmp_path / name / "s")
    store = Store.open(tmp_path / name / "s")
    rows = store.sql(QUERY).arrow().to_pylist()
    expected = [("conv1", 6 * 3), ("fc", 6 * 4)]
    assert rows == [{"ckpt": "5", "layer": layer, "n": n} for layer, n in expected]
    assert store.samples("d", "image").num_rows == 6
    for condition, said in (
        ("layer = 'fc'", "Total Files Read: 1"),
        ("layer || ckpt = 'fc5'", "1/2"),
    ):
        plan = store.sql(
            f"EXPLAIN ANALYZE SELECT sum(nnz) FROM activations WHERE {condition}"
        ).rows()
        assert said in "".join(str(row["explain_value"]) for row in plan)
    put(store, built.partition("fc", "6"), built.values["fc"])
    assert list(store.verify()) == []


@pytest.mark.parametrize("name", ["a[b", "a%20b", "a^b", "a|b", "a\\b", "a\nb"])
def test_what_delta_misreads_is_refused(tmp_path: Path, name: str) -> None:
    """A path in which delta-rs would open another folder, or panic, is refused."""
    with pytest.raises(StorageError, match="rename the folder"):
        Store.create(tmp_path / name / "s")
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize("uri", ["s3://b/x", "gs://b", "az://b/x", "http://h/x", "s3:/b"])
def test_other_uris_are_refused(uri: str) -> None:
    """A URI of another kind never becomes a local folder; ./s3: is one."""
    with pytest.raises(StorageError, match="is a URI"):
        local_path(uri)
    assert local_path(f"./{uri}") == Path(uri)
    assert local_path("file:///a%20b") == Path("/a b")


def test_optimize_by_another_writer(tmp_path: Path) -> None:
    """After a foreign optimize, status, SQL and export work; verify and extract name the file."""
    built = build(tmp_path / "s")
    fc = built.partition("fc")
    put(built.store, fc, built.values["fc"][:2], sample_ids=[10, 11])
    DeltaTable(tmp_path / "s/activations").optimize.compact()
    assert [r["samples"] for r in built.store.status()] == [6, 8]
    assert built.store.sql(QUERY).arrow()["n"].to_pylist() == [18, 32]
    assert "another program" in "".join(p["problem"] for p in built.store.verify())
    with pytest.raises(IdentityError, match="another program wrote"):
        put(built.store, fc, built.values["fc"], sample_ids=range(20, 26))
    assert export_features(built.store, fc, tmp_path / "x.npy").is_file()


def test_a_damaged_table_closes_itself_only(tmp_path: Path) -> None:
    """A damaged table is refused by name; statements that do not name it run."""
    store = build(tmp_path / "s").store
    shutil.rmtree(tmp_path / "s/runs/_delta_log")
    assert store.sql(QUERY).arrow().num_rows == 2
    with pytest.raises(StorageError, match="'runs'"):
        store.sql("FROM runs")
