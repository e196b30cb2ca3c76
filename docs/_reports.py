"""The reports of a small study, before and after a checkpoint is replaced, for docs/reports.md."""

import shutil
import tempfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from _store import _kept
from typer.testing import CliRunner

import fstore
from fstore.cli import app
from fstore.queries.studies.study import set_study
from fstore.store import Store
from fstore.workflows import init_checkpoint
from fstore.workflows.extract.run import ExtractionOptions, extract

STUDY = """
name = "docs"
network = "caffenet-mini"
layers = ["conv5", "fc6", "fc7"]
sweep = ["random0", "random1"]
pretrained = "random0"
[classification]
dataset = "digits"
"""


@cache
def _folder() -> TemporaryDirectory[str]:
    """Copy the store of the other pages, and set a study; it goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="fstore-docs-")
    shutil.copytree(Path(_kept().name) / "store", Path(folder.name) / "store")
    store = fstore.open(Path(folder.name) / "store")
    set_study(store, STUDY)
    _extract(store, ["conv5", "fc6"])
    return folder


def _store() -> Store:
    return fstore.open(Path(_folder().name) / "store")


def _extract(store: Store, layers: list[str]) -> None:
    options = ExtractionOptions(device="cpu")
    extract(
        store, layers=layers, ckpts=["random0"], datasets=["digits"], part="test", options=options
    )


def extract_rest() -> None:
    """Extract the layer that was left out."""
    _extract(_store(), ["fc7"])


def replace_checkpoint() -> None:
    """Put other random weights in the place of a checkpoint, and extract from them."""
    store = _store()
    store.drop(ckpt="random0", checkpoint=True)
    init_checkpoint(store, network="caffenet-mini", name="random0", seed=7)
    _extract(store, ["conv5", "fc6", "fc7"])


def session(*commands: str) -> str:
    """Return commands and what they print, stdout and stderr, as a terminal session.

    ``| grep`` and ``| cut -d, -f1-N`` are the only pipes that it knows.
    """
    return "```\n" + "\n\n".join(map(_run, commands)) + "\n```"


def _run(command: str) -> str:
    words, _, pipe = command.partition(" | ")
    where = {"FSTORE_STORE": str(_store().path)}  # so that suggested commands do not name it
    result = CliRunner().invoke(app, words.split(), env=where)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    lines, notes = (text.rstrip().splitlines() for text in (result.stdout, result.stderr))
    if pipe.startswith("grep"):
        wanted = pipe.removeprefix("grep -e ").split(" -e ")
        lines = [line for line in lines if any(word in line for word in wanted)]
    if pipe.startswith("cut"):
        n = int(pipe.rsplit("-", 1)[1])
        lines = [",".join(line.split(",")[:n]) for line in lines]
    return "\n".join([f"$ fstore {command}", *lines, *notes])
