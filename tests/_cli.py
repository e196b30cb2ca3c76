"""The program as it is typed, in this process."""

from typer.testing import CliRunner, Result

from fstore.cli import app
from fstore.store import Store

__all__ = ["run"]


def run(store: Store, *words: str) -> Result:
    """Run ``fstore --store ROOT WORDS``."""
    return CliRunner().invoke(app, ["--store", str(store.path), *words])
