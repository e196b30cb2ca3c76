"""A study with reports of its own, shown by docs/own-reports.md: its file, and what commands say."""

import shutil
import tempfile
from functools import cache
from pathlib import Path

from _reports import STUDY, _run
from _store import _kept

import fstore
from fstore.cli.study import read_study
from fstore.queries.reports import check_own_reports
from fstore.queries.studies.own import agree_to_code
from fstore.queries.studies.study import parse_study, set_study
from fstore.workflows.extract.run import ExtractionOptions, extract

FILES = Path(__file__).parent / "additions"


@cache
def _folder() -> "tempfile.TemporaryDirectory[str]":
    """Copy the store of the other pages, and set the study; it goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="fstore-docs-")
    shutil.copytree(Path(_kept().name) / "store", Path(folder.name) / "store")
    store = fstore.open(Path(folder.name) / "store")
    options = ExtractionOptions(device="cpu")
    for ckpt in ("random0", "random1"):
        extract(store, layers=["conv5", "fc6"], ckpts=[ckpt], datasets=["digits"], options=options)
    return folder


def _set(more: str = "") -> None:
    store = fstore.open(Path(_folder().name) / "store")
    study = Path(_folder().name) / "study.toml"
    study.write_text(STUDY + entries() + more, encoding="utf-8")
    for file in FILES.glob("own_*"):
        shutil.copy(file, study.parent)
    toml = read_study(study)
    read = parse_study(toml)
    agree_to_code(store, read.report)
    check_own_reports(store, read)
    set_study(store, toml)


def entries() -> str:
    """Return the entries of the study file."""
    return (FILES / "own_reports.toml").read_text(encoding="utf-8")


def shown(name: str) -> str:
    """Return a file of the example as a block."""
    kind = {"toml": "toml", "py": "python", "sql": "sql"}[name.rpartition(".")[2]]
    return f"```{kind}\n{(FILES / name).read_text(encoding='utf-8').strip()}\n```"


def session(*commands: str, more: str = "") -> str:
    """Return commands and what they print, with further entries in the study file."""
    _set(more)
    place = str(Path(_folder().name) / "store")
    return "```\n" + "\n\n".join(_run(command, place) for command in commands) + "\n```"
