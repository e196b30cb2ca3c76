"""What other Delta programs do to a store: all its questions are answered, or refused in words."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from deltalake import DeltaTable

from _build import Built, build, put
from fstore.errors import FstoreError, IdentityError, StorageError
from fstore.store import Store

TOTALS = """SELECT layer, count(*) AS n, round(sum(act_sum), 4) AS s
            FROM activations GROUP BY ALL ORDER BY ALL"""

DEEDS: dict[str, Callable[[DeltaTable], object]] = {
    "delete rows": lambda table: table.delete("channel = 1"),
    "z order": lambda table: table.optimize.z_order(["sample_id"]),
    "compact": lambda table: table.optimize.compact(),
    "update": lambda table: table.update(
        updates={"act_max": "act_max + 1"}, predicate="layer = 'fc' AND channel = 2"
    ),
}


@pytest.fixture
def built(tmp_path: Path) -> Built:
    """Make a store whose layer fc is in two files."""
    built = build(tmp_path / "s")
    put(built.store, built.partition("fc"), built.values["fc"][:2], sample_ids=[10, 11])
    return built


@pytest.mark.parametrize("deed", DEEDS)
def test_every_question_after_a_foreign_deed(built: Built, deed: str) -> None:
    """What the log has is counted, answered and dropped; verify and the writer name it."""
    root = built.store.path
    DEEDS[deed](DeltaTable(str(root / "activations")))
    store = Store.open(root)
    whole = DeltaTable(str(root / "activations")).to_pyarrow_table()
    counted = {row["layer"]: row["n"] for row in store.sql(TOTALS).rows()}
    assert sum(counted.values()) == whole.num_rows
    assert {row["layer"] for row in store.status()} == {"conv1", "fc"}
    assert any("another program" in row["problem"] for row in store.verify())
    with pytest.raises(IdentityError, match="another program wrote"):
        put(store, built.partition("fc"), built.values["fc"], sample_ids=range(20, 26))
    store.gc(older_than_hours=0)
    assert store.sql(TOTALS).arrow().num_rows == 2
    store.drop(ckpt="5")
    assert store.sql(TOTALS).arrow().num_rows == 0
    put(store, built.partition("fc"), built.values["fc"])
    assert [row["samples"] for row in store.status()] == [6]


def test_restored_to_an_older_version(built: Built) -> None:
    """A version that another program restores is the store's present; nothing of it is foreign."""
    root = built.store.path
    table = DeltaTable(str(root / "activations"))
    table.restore(table.version() - 1)
    store = Store.open(root)
    assert {row["layer"]: row["samples"] for row in store.status()} == {"conv1": 6, "fc": 6}
    assert list(store.verify()) == []
    put(store, built.partition("fc"), built.values["fc"][:2], sample_ids=[10, 11])
    assert {row["layer"]: row["samples"] for row in store.status()} == {"conv1": 6, "fc": 8}


@pytest.mark.parametrize("full", [False, True])
def test_vacuum_takes_nothing_that_is_needed(built: Built, full: bool) -> None:
    """Whatever a vacuum of any table deletes, rows, weights and checks stay as they were."""
    root = built.store.path
    before = built.store.sql(TOTALS).arrow()
    for table in sorted(path.parent for path in root.glob("*/_delta_log")):
        DeltaTable(str(table)).vacuum(
            retention_hours=0, dry_run=False, enforce_retention_duration=False, full=full
        )
    store = Store.open(root)
    assert store.sql(TOTALS).arrow() == before
    assert list(store.verify()) == []
    assert store.checkpoint_path(store.find_checkpoint("5")).is_file()


def add_protocol(table: Path, *, used: list[str], settings: dict[str, str]) -> None:
    """Commit a protocol and settings to a table's log, as another program may."""
    log = table / "_delta_log"
    first = [json.loads(line) for line in (log / f"{0:020d}.json").read_text().splitlines()]
    meta = next(line["metaData"] for line in first if "metaData" in line)
    meta["configuration"] |= settings
    features = dict.fromkeys(("readerFeatures", "writerFeatures"), used)
    protocol = {"minReaderVersion": 3, "minWriterVersion": 7, **features}
    version = DeltaTable(str(table)).version() + 1
    lines = [json.dumps({"protocol": protocol}), json.dumps({"metaData": meta})]
    (log / f"{version:020d}.json").write_text("\n".join(lines))


@pytest.mark.parametrize(
    ("used", "settings"),
    [
        (["deletionVectors"], {"delta.enableDeletionVectors": "true"}),
        (["columnMapping"], {"delta.columnMapping.mode": "name"}),
    ],
)
def test_rows_that_files_do_not_hold(
    built: Built, used: list[str], settings: dict[str, str]
) -> None:
    """Deletion vectors and renamed columns would give wrong rows: such a table is refused."""
    root = built.store.path
    add_protocol(root / "labels", used=used, settings=settings)
    store = Store.open(root)
    said = f"labels.*{used[0]}"
    with pytest.raises(StorageError, match=said):
        store.labels("d", "image")
    with pytest.raises(StorageError, match=said):
        store.sql("FROM labels")
    assert store.sql(TOTALS).arrow().num_rows == 2  # other tables go on


@pytest.mark.parametrize("name", ["activations", "samples", "labels", "checkpoints", "weights"])
def test_a_table_on_another_disk(built: Built, name: str) -> None:
    """A first-level folder behind a link is read by SQL, status, verify and drop alike."""
    root = built.store.path
    before = built.store.sql(TOTALS).arrow()
    shutil.move(root / name, root.parent / "disk")
    (root / name).symlink_to(root.parent / "disk")
    store = Store.open(root)
    assert store.sql(TOTALS).arrow() == before
    assert store.sql("SELECT count(*) AS n FROM all_labels").arrow()["n"].to_pylist() == [12]
    assert list(store.verify()) == []
    store.drop(layer="fc")
    assert {row["layer"] for row in store.status()} == {"conv1"}


@pytest.mark.usefixtures("built")
def test_a_relative_store_outlives_chdir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store opened by a relative path is the same after the folder changed."""
    monkeypatch.chdir(tmp_path)
    store = Store.open("s")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert store.sql(TOTALS).arrow().num_rows == 2
    assert list(store.verify()) == []


def test_a_commit_that_lost_its_files(built: Built) -> None:
    """Files that another program's vacuum took make a question fail in words, never in silence."""
    root = built.store.path
    for path in (root / "activations").rglob("*.parquet"):
        if "layer=fc" in str(path) and "_delta_log" not in str(path):
            path.unlink()
    store = Store.open(root)
    with pytest.raises(FstoreError):
        store.sql(TOTALS).arrow()
    assert any("missing" in row["problem"] for row in store.verify())


@pytest.mark.parametrize("harm", ["cut", "empty", "gone", "hint of another"])
def test_a_broken_checkpoint_of_the_log_closes_nothing(built: Built, harm: str) -> None:
    """A checkpoint that is cut off or gone is passed over where all commits are whole."""
    root = built.store.path
    log = root / "activations" / "_delta_log"
    before = built.store.sql(TOTALS).arrow()
    DeltaTable(str(root / "activations")).create_checkpoint()
    (checkpoint,) = log.glob("*.checkpoint.parquet")
    whole = checkpoint.read_bytes()
    if harm == "gone":
        checkpoint.unlink()
    elif harm == "hint of another":
        (log / "_last_checkpoint").write_text('{"version": 77, "size": 1}')
    else:
        checkpoint.write_bytes(whole[: len(whole) // 2] if harm == "cut" else b"")
    store = Store.open(root)
    assert store.sql(TOTALS).arrow() == before
    assert list(store.verify()) == []
    put(store, built.partition("fc"), built.values["fc"][:2], sample_ids=[12, 13])
    assert {row["layer"]: row["samples"] for row in store.status()} == {"conv1": 6, "fc": 10}


def test_a_broken_checkpoint_that_is_all_there_is(built: Built) -> None:
    """Where commits are missing, a broken checkpoint is left as it is, and the table is refused."""
    root = built.store.path
    log = root / "activations" / "_delta_log"
    DeltaTable(str(root / "activations")).create_checkpoint()
    (checkpoint,) = log.glob("*.checkpoint.parquet")
    checkpoint.write_bytes(checkpoint.read_bytes()[:100])
    (log / f"{0:020d}.json").unlink()
    with pytest.raises(StorageError, match="activations"):
        Store.open(root).sql(TOTALS).arrow()
    assert checkpoint.exists()
