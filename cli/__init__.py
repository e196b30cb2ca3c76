"""The command line: one file a group of commands; each adds itself to the program."""

import gc
import sys

from fstore import ending

if ending.is_program():
    ending.install()  # before what takes long to import
    gc.set_threshold(50_000, 20, 50)  # imports make many objects that stay

from fstore.cli.app import app
from fstore.machine import BRIEFLY, spin
from fstore.registry import import_siblings

__all__ = ["app", "main"]

import_siblings(__name__, list(__path__), leave_out=["dagster"])  # no part of the program


def main() -> None:
    """Run the ``fstore`` program."""
    from fstore.cli.streams import check_streams, flush

    spin(BRIEFLY)
    ending.install()
    check_streams()
    status: object = 0
    try:
        app()
    except SystemExit as end:
        status = end.code
    gc.freeze()  # nothing is left to be collected: the end of the process need not look for it
    status = flush(status if isinstance(status, int) else 1 if status else 0)
    why = ending.stopped()
    if why is not None:
        ending.finish(why.status, why.message)
    sys.exit(status)
