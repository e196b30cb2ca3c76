"""The small store behind the documents' examples, and what writes their output.

Handwritten digits through ``caffenet-mini`` with random weights: real activations, no training,
so that another machine gets the same numbers to the digits shown.
"""

import os
import tempfile
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from typer.testing import CliRunner

import fstore
from fstore.cli import app
from fstore.store import Store
from fstore.store.macros import FUNCTIONS, MACROS
from fstore.store.schema import TABLES
from fstore.workflows import add_dataset, init_checkpoint
from fstore.workflows.extract.run import ExtractionOptions, extract

RECIPES = Path(__file__).parent / "recipes"
CKPTS = ("random0", "random1")


def build(path: Path) -> Store:
    """Make the store: 180 digits, all layers of two checkpoints; 60 scenes, not extracted."""
    store = fstore.create(path)
    add_dataset(store, "digits", "digits")
    add_dataset(store, "scenes", "digit-scenes", images=60)
    for seed, name in enumerate(CKPTS):
        init_checkpoint(store, network="caffenet-mini", name=name, seed=seed)
    options = ExtractionOptions(device="cpu")
    extract(store, layers=["all"], ckpts=CKPTS, datasets=["digits"], part="val", options=options)
    return store


@cache
def _kept() -> TemporaryDirectory[str]:
    """Build the store once a process; it goes with the process."""
    folder = tempfile.TemporaryDirectory(prefix="fstore-docs-")
    build(Path(folder.name) / "store")
    return folder


def kept() -> str:
    """Return the folder that the store lies in, as ``store``."""
    return _kept().name


def run(*words: str) -> str:
    """Run ``fstore`` on the store; return what it prints."""
    command = ["--store", str(Path(_kept().name) / "store"), *words]
    result = CliRunner().invoke(app, command)
    if result.exit_code:
        raise RuntimeError(f"fstore {' '.join(words)}: {result.output}") from result.exception
    return result.stdout.rstrip()


def session(*commands: list[str]) -> str:
    """Return commands and what they print as a terminal session in Markdown."""
    parts = []
    for words in commands:
        shown = [f'"{word}"' if " " in word else word for word in words]
        parts.append(f"$ fstore {' '.join(shown)}\n{run(*words)}".rstrip())
    return "```\n" + "\n\n".join(parts) + "\n```"


def recipe(name: str) -> str:
    """Return a recipe and its output in Markdown."""
    file = RECIPES / f"{name}.sql"
    return f"```sql\n{file.read_text()}```\n```\n{run('sql', '--file', os.fspath(file))}\n```"


def macro_table(*, aggregate: bool) -> str:
    """Return the reference of the macros in Markdown."""
    entries = [(m.signature, m.summary) for m in MACROS if m.aggregate == aggregate]
    if not aggregate:
        entries += [(f.signature, f.summary) for f in FUNCTIONS if not f.name.startswith("_")]
    rows = [f"| `{signature}` | {summary} |" for signature, summary in entries]
    return "\n".join(["| call | gives |", "|---|---|", *rows])


def view_table() -> str:
    """Return the tables and their columns in Markdown; partition columns in bold."""
    rows = [
        f"| `{t.name}` | "
        + ", ".join(f"**{c}**" if c in t.partition else c for c in t.schema.names)
        + " |"
        for t in TABLES.values()
    ]
    return "\n".join(["| table | columns |", "|---|---|", *rows])
