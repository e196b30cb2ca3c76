"""The command line: one file a group of commands; each adds itself to the program."""

from fstore.cli.app import app
from fstore.registry import import_siblings

__all__ = ["app", "main"]

import_siblings(__name__, list(__path__))


def main() -> None:
    """Run the ``fstore`` program."""
    app()
