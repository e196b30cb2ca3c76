"""``fstore doctor``: what it finds is so, and it says so when something is wrong."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import fstore
from _build import build
from fstore.cli import app
from fstore.extras import EXTRAS
from fstore.workflows import doctor

ROOT = Path(__file__).parents[2]


def asked(store: Path) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the status, and the findings by what was looked at."""
    shown = CliRunner().invoke(app, ["--store", str(store), "--quiet", "doctor", "--json"])
    return shown.exit_code, {row["what"]: row for row in json.loads(shown.stdout)}


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Make a store with two layers of a few samples."""
    build(tmp_path / "store")
    return tmp_path / "store"


def test_a_store_that_is_well(store: Path) -> None:
    """Nothing is wrong, and nothing is left behind."""
    before = {path for path in store.rglob("*") if path.is_file()}
    status, found = asked(store)
    assert status == 0
    assert {row["state"] for row in found.values()} <= {"ok", "note"}
    assert found["files"]["found"] == "2 files of activations, 2 looked for"
    assert {path for path in store.rglob("*") if path.is_file()} == before


def test_a_file_that_is_gone(store: Path) -> None:
    """The file is named, and how to look closer."""
    file, _ = fstore.open(store).files()
    (store / file.key).unlink()
    status, found = asked(store)
    assert status == 1
    assert file.key in found["files"]["found"]
    assert found["files"]["advice"] == f"fstore verify --store {store}"


def test_a_table_that_cannot_be_read(store: Path) -> None:
    """The table is named; the others are looked at all the same."""
    for commit in (store / "labels" / "_delta_log").iterdir():
        commit.write_bytes(b"no JSON")
    status, found = asked(store)
    assert status == 1
    assert found["table labels"]["state"] == "problem"
    assert found["files"]["state"] == "ok"


def test_many_files_are_told(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A layer of more files than are quick to read is to be compacted."""
    monkeypatch.setattr(doctor, "MANY", 0)
    _, found = asked(store)
    assert found["small files"]["advice"].startswith("fstore compact ")


def test_no_store(tmp_path: Path) -> None:
    """Where no store is, the machine is examined, and it says how one is made."""
    status, found = asked(tmp_path / "none")
    assert status == 0
    assert found["store"]["advice"] == f"fstore init --store {tmp_path / 'none'}"
    assert "device" in found


def test_extras_are_those_of_the_project() -> None:
    """What is said of extras is what pyproject.toml offers, but for developers' ones."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    offered = set(told["project"]["optional-dependencies"]) - {"bench", "test"}
    assert set(EXTRAS) == offered
