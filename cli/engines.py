"""The options that choose on what long work runs: the same words for every command."""

from typing import Annotated

import typer

from fstore.engines import EngineName, RayOptions

__all__ = ["AddressOption", "EngineOption", "check_engine", "ray_options"]

EngineOption = Annotated[
    EngineName, typer.Option("--engine", help="local: this process. ray: workers of a cluster.")
]
AddressOption = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="HOST:PORT",
        help="Ray cluster to use; auto: the one on this machine. Default: start one for this run.",
    ),
]


def check_engine(engine: EngineName, address: str | None) -> None:
    """Refuse an address where no cluster is used.

    Raises
    ------
    BadParameter
        There is one, and the engine is local.
    """
    if address is not None and engine is not EngineName.RAY:
        raise typer.BadParameter("--address is for --engine ray")


def ray_options(
    engine: EngineName,
    address: str | None,
    *,
    workers: int | None = None,
    threads: int | None = None,
) -> RayOptions | None:
    """Return how a cluster is to be used; None where none is.

    Raises
    ------
    BadParameter
        Something is said of a cluster, and the engine is local.
    """
    check_engine(engine, address)
    if engine is EngineName.RAY:
        return RayOptions(address=address, workers=workers, threads=threads)
    if workers is not None or threads is not None:
        raise typer.BadParameter("--ray-workers and --ray-threads are for --engine ray")
    return None
