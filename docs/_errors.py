"""Errors for the page of frequent ones: what the program says, from the program."""

import shlex
from pathlib import Path

from _store import kept
from typer.testing import CliRunner

from fstore.cli import app


def refused(line: str) -> str:
    """Run a command that fails on the documents' store; return it and its error in Markdown."""
    store = str(Path(kept()) / "store")
    result = CliRunner().invoke(app, ["--store", store, *shlex.split(line)])
    if not result.exit_code:
        raise RuntimeError(f"fstore {line} went well: {result.output}")
    before, word, after = result.stderr.lower().partition("error: ")
    told = result.stderr[len(before) :].strip() if word and after else result.stderr.strip()
    told = told.replace(f" --store {store}", "").replace(store, "fstore-store")
    return f"```\n$ fstore {line}\n{told}\n```"
