"""Another Delta program's hands on a store: each command ends in words, and counts are right."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from _cli import run
from _given import Given
from fstore.errors import StorageError
from fstore.store import Store

WHERE = {"activations": "channel = 1", "layers": "layer = 'conv'", "samples": "sample_id = 1"}
ORDER = {"activations": "sample_id", "layers": "layer", "samples": "sample_id"}


def rewrite(table: DeltaTable) -> None:
    """Order a table's rows anew, into files of another program's."""
    table.optimize.z_order([ORDER[Path(table.table_uri).name]])


def vacuum(table: DeltaTable) -> None:
    """Delete the files that a table's log does not need now."""
    table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False, full=False)


def rewrite_and_vacuum(table: DeltaTable) -> None:
    """Leave nothing to go back to."""
    rewrite(table)
    vacuum(table)


DEEDS: dict[str, Callable[[DeltaTable], object]] = {
    "delete": lambda t: t.delete(WHERE[Path(t.table_uri).name]),
    "compact": lambda t: t.optimize.compact(),
    "z order": rewrite,
    "vacuum": vacuum,
    "rewrite and vacuum": rewrite_and_vacuum,
    "restore": lambda t: t.restore(t.version() - 1),
}

COMMANDS: dict[str, list[str]] = {
    "status": ["status", "--json"],
    "sql": ["sql", "SELECT layer, count(*) AS n FROM activations GROUP BY ALL", "--json"],
    "verify": ["verify"],
    "list": ["report", "list"],
    "refresh": ["report", "refresh"],
    "export": ["export", "OUT.parquet", "--layer", "conv", "--ckpt", "c", "--dataset", "d"],
    "extract": ["extract", "--layer", "conv", "--ckpt", "c", "--dataset", "d"],
    "index": ["index"],
    "compact": ["compact"],
    "gc": ["gc", "--older-than", "0"],
    "drop": ["drop", "--layer", "conv", "--yes"],
}
"""What is asked after a deed, in this order; the last one takes rows away."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Given:
    """Make a store with a study, whose layer is in two files."""
    return Given(tmp_path_factory.mktemp("foreign"))


def rows_by_layer(store: Store) -> dict[str, int]:
    """Count the rows of activations by another program's reading of the log."""
    table = DeltaTable(str(store.path / "activations")).to_pyarrow_table(columns=["layer"])
    counted = table.group_by("layer").aggregate([([], "count_all")]).to_pylist()
    return {row["layer"]: row["count_all"] for row in counted}


def check(store: Store, name: str, folder: Path) -> None:
    """Run a command; it ends as it should, in words, and its numbers are of what is there."""
    there = rows_by_layer(store)
    words = [word.replace("OUT", str(folder / "out")) for word in COMMANDS[name]]
    result = run(store, *words)
    said = f"{name}: {result.exit_code}\n{result.output}\n{result.exception!r}"
    assert result.exit_code in (0, 1), said
    assert isinstance(result.exception, (SystemExit, type(None))), said
    assert "Traceback" not in result.output, said
    assert "fault of fstore" not in result.output, said
    if result.exit_code:
        assert len(result.output.split()) > 4, said
    elif name == "sql":
        assert {r["layer"]: r["n"] for r in json.loads(result.stdout)} == there
    elif name == "status":
        assert {r["layer"]: r["rows"] for r in json.loads(result.stdout)} == there


def hurt(made: Given, folder: Path, table: str, deed: str) -> Store:
    """Copy the store and let another program do something to a table of the copy."""
    shutil.copytree(made.nets.parent / "store", folder / "s")
    DEEDS[deed](DeltaTable(str(folder / "s" / table)))
    return Store.open(folder / "s")


def is_slow(table: str, deed: str) -> bool:
    """Whether a part of the matrix is left to the slow tests."""
    quick = {
        ("activations", "rewrite and vacuum"),
        ("activations", "delete"),
        ("samples", "delete"),
    }
    return (table, deed) not in quick


PARTS = [
    pytest.param(table, deed, marks=[pytest.mark.slow] if is_slow(table, deed) else [])
    for table in WHERE
    for deed in DEEDS
]


@pytest.mark.parametrize(("table", "deed"), PARTS)
def test_every_command_after_another_programs_deed(
    made: Given, tmp_path: Path, table: str, deed: str
) -> None:
    """No command ends in a traceback, and those that count give what the log has."""
    store = hurt(made, tmp_path, table, deed)
    for name in COMMANDS:
        check(store, name, tmp_path)
    assert rows_by_layer(store) == {}


def test_a_sample_that_was_deleted_is_named(made: Given, tmp_path: Path) -> None:
    """Samples are not taken by their place in a table that lacks one: the table is named."""
    store = hurt(made, tmp_path, "samples", "delete")
    with pytest.raises(StorageError, match=r"'samples' lacks sample 1 of d\.image"):
        store.samples("d", "image", ["uri"])
    assert "table 'samples' lacks sample 1" in run(store, *COMMANDS["verify"]).output


def test_a_rewritten_file_has_no_identity(made: Given, tmp_path: Path) -> None:
    """Delta's writer drops the texts of footers: what was computed cannot be told, and is said."""
    store = hurt(made, tmp_path, "activations", "compact")
    (uri,) = DeltaTable(str(store.path / "activations")).file_uris()
    texts = pq.read_metadata(unquote(uri) if not Path(uri).exists() else uri).metadata or {}
    assert not [key for key in texts if key.startswith(b"fstore.")]
    refused = run(store, *COMMANDS["extract"])
    assert refused.exit_code == 1
    assert "another program wrote" in refused.output
    assert "fstore drop" in refused.output
