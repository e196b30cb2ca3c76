"""The command line: one file a group of commands; each adds itself to the program."""

import os

from fstore.cli.app import app
from fstore.registry import import_siblings

__all__ = ["app", "main"]

import_siblings(__name__, list(__path__), leave_out=["dagster"])  # no part of the program


def main() -> None:
    """Run the ``fstore`` program.

    Threads of the network that wait for one another sleep instead of spinning, unless the caller
    says otherwise: the cores are wanted for decoding and encoding. torch reads this on loading.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    app()
