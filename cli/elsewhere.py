"""Where the cells of reports are computed, as ``--engine`` says, and who did what of it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fstore.cli.engines import check_engine
from fstore.engines import EngineName

if TYPE_CHECKING:
    from fstore.queries.refresh.elsewhere import Elsewhere

__all__ = ["computed_elsewhere"]


@contextmanager
def computed_elsewhere(
    engine: EngineName, address: str | None, say: Callable[[str], object]
) -> "Iterator[Elsewhere | None]":
    """Give where cells are computed, None for this process; in the end say a line a worker.

    Parameters
    ----------
    engine : EngineName
    address : str or None
        Of a cluster of Ray.
    say : callable
        Takes a line for people.
    """
    check_engine(engine, address)
    if engine is EngineName.LOCAL:
        yield None
        return
    from fstore.workflows.cells_on_ray import ray_elsewhere

    elsewhere = ray_elsewhere(address)
    try:
        yield elsewhere
    finally:
        for line in elsewhere.lines:
            say(line)
