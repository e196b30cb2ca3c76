"""Delta tables under a root: schemas, what is refused, and two writers at once."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from threading import Barrier
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError

from fstore.errors import SchemaError, StorageError
from fstore.store import Store, commits
from fstore.store.local import LocalPlace
from fstore.store.schema import TABLES, check_rows
from fstore.store.tables import append_once, create_tables, open_table, read_rows, replace_rows

NOW = datetime(2026, 11, 1, 12, 30, 0, 123456, tzinfo=UTC)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Give a folder with empty tables."""
    create_tables(LocalPlace(tmp_path / "s"))
    return tmp_path / "s"


def example(kind: pa.DataType, seed: int) -> Any:  # noqa: ANN401 - a value of any column
    """Return a value of a type; another seed, another value."""
    if pa.types.is_list(kind):
        return [example(kind.value_type, seed), example(kind.value_type, seed + 1)]
    if pa.types.is_struct(kind):
        return {field.name: example(field.type, seed + i) for i, field in enumerate(kind)}
    values = {
        pa.string(): f"ü 'q' %41 {seed}",
        pa.int32(): seed - 2**31,
        pa.int64(): seed - 2**63,
        pa.float32(): seed + 0.5,
        pa.float64(): seed + 1e-300,
        pa.bool_(): seed % 2 == 0,
        pa.timestamp("us", tz="UTC"): NOW.replace(microsecond=seed),
    }
    return values[kind]


@pytest.mark.parametrize("name", list(TABLES))
def test_every_table_gives_back_its_rows(root: Path, name: str) -> None:
    """Values of every type, NULL in each column that may hold it, come back from each table."""
    table = TABLES[name]
    full = [{f.name: example(f.type, 10 * i) for f in table.schema} for i in (1, 2)]
    keys = set(table.partition)
    bare = {f.name: example(f.type, 30) if f.name in keys else None for f in table.schema}
    rows = [*full, bare]
    assert append_once(LocalPlace(root), name, lambda: rows, key="k") == 3
    found = read_rows(LocalPlace(root), name)
    assert found.schema.names == table.schema.names
    back = found.to_pylist()
    assert len(back) == 3
    assert all(row in back for row in rows)


@pytest.mark.parametrize("name", list(TABLES))
def test_other_engines_see_the_declared_schema(root: Path, name: str) -> None:
    """Polars' Delta reader finds every column of a table, under the names of the schema."""
    found = pl.scan_delta(str(root / name)).collect_schema()
    assert set(found.names()) == set(TABLES[name].schema.names)


def test_rows_are_filtered_by_any_column(root: Path) -> None:
    """Equal means equal: partition columns and others, odd values too."""
    rows = [
        {"dataset": d, "view": v, "sample_id": i, "class": c, "label": 1}
        for i, (d, v, c) in enumerate([("a'b", "gt", "ü"), ("a'b", "image", "x"), ("5", "gt", "ü")])
    ]
    append_once(LocalPlace(root), "labels", lambda: rows, key="k")
    assert read_rows(LocalPlace(root), "labels", dataset="a'b", view="gt")[
        "sample_id"
    ].to_pylist() == [0]
    assert read_rows(LocalPlace(root), "labels", **{"class": "ü"}).num_rows == 2
    assert read_rows(LocalPlace(root), "labels", dataset="005").num_rows == 0
    assert read_rows(LocalPlace(root), "samples", dataset="5").schema == TABLES["samples"].schema


def test_replace_touches_equal_rows_only(root: Path) -> None:
    """Replacing one data set's rows leaves its neighbour's, quotes in names and all."""
    for name in ("a'b", "a", "b"):
        rows = [
            {"dataset": name, "view": "gt", "sample_id": i, "class": "c", "label": 1}
            for i in (0, 1)
        ]
        replace_rows(LocalPlace(root), "labels", rows, dataset=name, view="gt")
    new = [{"dataset": "a'b", "view": "gt", "sample_id": 9, "class": "c", "label": 0}]
    replace_rows(LocalPlace(root), "labels", new, dataset="a'b", view="gt")
    assert read_rows(LocalPlace(root), "labels", dataset="a'b")["sample_id"].to_pylist() == [9]
    assert read_rows(LocalPlace(root), "labels").num_rows == 5


@pytest.mark.parametrize("name", ["labels", "splits", "unreadable"])
def test_what_a_drop_leaves_of_a_file_is_read(tmp_path: Path, name: str) -> None:
    """Of a file with rows of several views, those that a drop leaves are found by any column."""
    store = Store.create(tmp_path / "s")
    views = [("d", "image"), ("d", "proposal"), ("e", "image")]
    store.append(name, [{"dataset": d, "view": v, "sample_id": 7} for d, v in views])
    held = [
        {"view": v, "samples": 9, "manifest": "m", "labels": "l"} for v in ("image", "proposal")
    ]
    row = {"name": "d", "format": "voc", "task": "multi", "classes": ["a"], "root": "/r"}
    store.append("datasets", [{**row, "views": held}])
    store.drop(dataset="d", view="proposal")
    assert [r["view"] for r in store.rows(name, dataset="d").to_pylist()] == ["image"]
    assert store.rows(name, dataset="e", view="image").num_rows == 1
    assert store.rows(name, view="proposal").num_rows == 0


def test_rows_of_another_shape_are_refused() -> None:
    """Missing, unknown and mistyped columns are errors that name them."""
    studies = TABLES["studies"]
    row = {"name": ["a"], "toml": [""], "set_at": [NOW]}
    assert (
        check_rows(studies, pa.table({k: row[k] for k in reversed(row)})).schema == studies.schema
    )
    with pytest.raises(
        SchemaError, match=r"'studies' lack columns \['toml'\] and have unknown \['x'\]"
    ):
        check_rows(studies, pa.table({"name": ["a"], "x": [1], "set_at": [NOW]}))
    with pytest.raises(SchemaError, match="'studies' have a wrong type"):
        check_rows(studies, pa.table({**row, "set_at": ["yesterday"]}))


# What is no store of ours


def test_a_missing_store_names_the_command(tmp_path: Path) -> None:
    """Opening what is not there says how to make it."""
    with pytest.raises(
        StorageError, match=f"no store at {tmp_path}.*fstore init --store {tmp_path}"
    ):
        Store.open(tmp_path)


def test_a_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    """A folder that holds something else is refused, and nothing is written to it."""
    (tmp_path / "thesis.tex").write_text("")
    with pytest.raises(StorageError, match=r"not empty and not a store.*'thesis.tex'"):
        Store.create(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(StorageError, match="is a file; choose a folder"):
        Store.create(tmp_path / "thesis.tex")


def test_another_schema_version_is_refused(tmp_path: Path) -> None:
    """A store written by a later fstore is refused with both versions."""
    store = Store.create(tmp_path / "s")
    (store.path / "fstore.json").write_text('{"schema_version": 99}')
    with pytest.raises(SchemaError, match="has schema version 99, this fstore knows 4"):
        Store.open(store.path)
    for text in ("", "[1]", "3"):
        (store.path / "fstore.json").write_text(text)
        with pytest.raises(StorageError, match=r"fstore.json is damaged"):
            Store.open(store.path)


def test_a_half_made_store_is_completed(tmp_path: Path) -> None:
    """A store whose making was killed before its last step is made by the next call."""
    create_tables(LocalPlace(tmp_path / "s"))
    shutil.rmtree(tmp_path / "s" / "runs")
    store = Store.create(tmp_path / "s")
    assert store.rows("runs").num_rows == 0
    assert Store.create(tmp_path / "s").path == store.path


def test_a_relative_path_outlives_a_change_of_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store opened by a relative path, or through a link, stays the same store."""
    monkeypatch.chdir(tmp_path)
    Store.create("real")
    (tmp_path / "link").symlink_to("real")
    for name in ("real", "link"):
        store = Store.open(name)
        monkeypatch.chdir("/")
        store.append("studies", [{"name": name, "toml": "", "set_at": NOW}])
        monkeypatch.chdir(tmp_path)
    assert sorted(store.rows("studies")["name"].to_pylist()) == ["link", "real"]


def test_a_table_with_other_columns_is_refused(root: Path) -> None:
    """A stored table that lacks a column, or has it with another type, is named."""
    shutil.rmtree(root / "studies")
    (root / "sums" / "studies.sha256").unlink()  # another program's table
    write_deltalake(str(root / "studies"), pa.table({"name": ["a"], "toml": ["b"]}))
    with pytest.raises(SchemaError, match=r"table 'studies' has columns \['name', 'toml'\]"):
        open_table(LocalPlace(root), "studies")
    shutil.rmtree(root / "studies")
    wrong = pa.table({"name": ["a"], "toml": [1], "set_at": [NOW]})
    write_deltalake(str(root / "studies"), wrong)
    with pytest.raises(SchemaError, match=r"table 'studies'.*toml"):
        open_table(LocalPlace(root), "studies")


def test_a_missing_table_is_a_storage_error(root: Path) -> None:
    """A table's folder that is gone is an error of ours, not of the Delta library."""
    shutil.rmtree(root / "runs")
    with pytest.raises(StorageError, match=r"table 'runs' is damaged: .*is missing"):
        read_rows(LocalPlace(root), "runs")


def test_a_damaged_file_is_a_storage_error(root: Path) -> None:
    """A data file that was cut off is an error of ours that names the table."""
    append_once(
        LocalPlace(root), "studies", lambda: [{"name": "a", "toml": "", "set_at": NOW}], key="k"
    )
    (file,) = (root / "studies").glob("*.parquet")
    file.write_bytes(file.read_bytes()[:30])
    with pytest.raises(StorageError, match=r"table 'studies' is damaged: .*was changed"):
        read_rows(LocalPlace(root), "studies")


# Two at once


def at_once(n: int, work: Callable[[int], object]) -> list[object]:
    """Run work(0) ... work(n - 1) in threads that start together."""
    barrier = Barrier(n)

    def run(i: int) -> object:
        barrier.wait()
        return work(i)

    with ThreadPoolExecutor(n) as pool:
        return [f.result() for f in [pool.submit(run, i) for i in range(n)]]


def test_a_store_is_made_by_many_at_once(tmp_path: Path) -> None:
    """Threads that create one store at once all open it, and it is whole."""
    for attempt in range(3):
        place = tmp_path / str(attempt)
        stores = at_once(4, lambda _, place=place: Store.create(place))  # type: ignore[misc]
        assert len(stores) == 4
        assert json.loads((place / "fstore.json").read_text()) == {"schema_version": 4}
        assert {p.name for p in place.iterdir()} == {"fstore.json", "sums", *TABLES}


def test_a_store_that_appears_meanwhile_is_not_foreign(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If another process finishes the store between two looks at the folder, it is opened."""
    exists = Path.exists

    def late(path: Path, **options: bool) -> bool:
        if path.name == "fstore.json" and not exists(path):
            monkeypatch.setattr(Path, "exists", exists)
            Store.create(path.parent)
            return False
        return exists(path, **options)

    monkeypatch.setattr(Path, "exists", late)
    assert Store.create(tmp_path / "s").rows("runs").num_rows == 0


def test_appends_under_one_key_are_all_kept(root: Path) -> None:
    """Rows that several writers append at once are all there, each once."""
    at_once(
        4,
        lambda i: append_once(
            LocalPlace(root),
            "studies",
            lambda: [{"name": str(i), "toml": "", "set_at": NOW}],
            key="k",
        ),
    )
    assert sorted(read_rows(LocalPlace(root), "studies")["name"].to_pylist()) == [
        "0",
        "1",
        "2",
        "3",
    ]


def test_appends_that_look_first_are_made_once(root: Path) -> None:
    """Writers that add what is missing, all the same, add it once."""

    def missing() -> list[dict[str, object]]:
        there = read_rows(LocalPlace(root), "studies", name="a").num_rows
        return [] if there else [{"name": "a", "toml": "", "set_at": NOW}]

    place = LocalPlace(root)
    added = at_once(4, lambda _: append_once(place, "studies", missing, key="k"))
    assert sum(added) == 1  # type: ignore[arg-type]
    assert read_rows(LocalPlace(root), "studies").num_rows == 1


def test_replacements_at_once_are_all_made(root: Path) -> None:
    """Writers that replace rows of one table at once wait for one another; none fails."""

    def work(i: int) -> None:
        row = {"dataset": str(i), "view": "gt", "sample_id": i, "class": "c", "label": 1}
        replace_rows(LocalPlace(root), "labels", [row], dataset=str(i), view="gt")

    at_once(4, work)
    assert sorted(read_rows(LocalPlace(root), "labels")["sample_id"].to_pylist()) == [0, 1, 2, 3]


def test_endless_conflicts_end(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that never accepts a commit ends in an error of ours."""

    def conflict(*_args: object, **_options: object) -> None:
        raise CommitFailedError("met another writer")

    monkeypatch.setattr(commits, "COMMIT_TRIES", 3)
    monkeypatch.setattr("deltalake.write_deltalake", conflict)
    row = {"name": "a", "toml": "", "set_at": NOW}
    with pytest.raises(StorageError, match="'studies': 3 commits in a row"):
        append_once(LocalPlace(root), "studies", lambda: [row], key="k")
    with pytest.raises(StorageError, match="'studies': 3 commits in a row"):
        replace_rows(LocalPlace(root), "studies", [row], name="a")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_the_right_to_write(tmp_path: Path) -> None:
    """A place that cannot be written is a storage error."""
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="cannot create"):
        Store.create(tmp_path / "s")


def test_the_log_is_plain_delta(root: Path) -> None:
    """The tables are partitioned in Delta's log as the schema says."""
    for name, table in TABLES.items():
        assert DeltaTable(str(root / name)).metadata().partition_columns == list(table.partition)
