"""What may do long work: this process, or the workers of a cluster.

Only what the command line must know: no library is loaded.
"""

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["EngineName", "RayOptions"]


class EngineName(StrEnum):
    """Where the work is done."""

    LOCAL = "local"
    RAY = "ray"


@dataclass(frozen=True, kw_only=True)
class RayOptions:
    """How to use a cluster.

    Attributes
    ----------
    address : str or None
        As ``fstore.workflows.engines.connected`` reads it.
    workers : int or None
        Processes that hold a network; None: one a GPU, else one a share of cores.
    threads : int or None
        Cores of a worker, and threads of its network; None: two, or one where there are no two.
    """

    address: str | None = None
    workers: int | None = None
    threads: int | None = None
