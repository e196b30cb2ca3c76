"""On what long work runs: in this process, or on a Ray cluster that is started or attached to.

Ray places tasks, tries them again and ships what they need; nothing of that is written again here.
This module starts or attaches to a cluster, ends what it started, and puts errors into words.
"""

import logging
import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError, EngineError, FstoreError, StorageError
from fstore.extras import need

if TYPE_CHECKING:
    from types import ModuleType

__all__ = ["AUTO", "Cluster", "connected", "task_error"]

AUTO = "auto"
"""The address that means: the Ray that runs on this machine."""
CONNECT_SECONDS = 5.0
"""After which an address that does not answer is given up; Ray itself waits for minutes."""
SMALL_STORE_BYTES = 128 << 20
"""Of the object store of a cluster that is started here: files go to the store, not through it."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A Ray cluster that this process is connected to.

    Attributes
    ----------
    ray : module
        Ray itself.
    address : str
        ``host:port``.
    started : bool
        Whether it was started for this run, and ends with it.
    seconds : float
        That starting or attaching took.
    """

    ray: "ModuleType"
    address: str
    started: bool
    seconds: float

    @property
    def nodes(self) -> int:
        """Nodes that are alive."""
        return sum(bool(node["Alive"]) for node in self.ray.nodes())

    @property
    def cpus(self) -> int:
        """Cores of all nodes that are alive."""
        return int(self.ray.cluster_resources().get("CPU", 0))

    @property
    def gpus(self) -> int:
        """GPUs of all nodes that are alive."""
        return int(self.ray.cluster_resources().get("GPU", 0))


@contextmanager
def connected(
    address: str | None = None,
    *,
    cpus: int | None = None,
    object_store_bytes: int = SMALL_STORE_BYTES,
) -> Iterator[Cluster]:
    """Connect to a Ray cluster, and disconnect; what was started for it is ended.

    A process that is connected already uses that connection, and leaves it as it is.

    Parameters
    ----------
    address : str or None
        ``host:port`` of a cluster's head, seen from one of its nodes; ``auto``: the Ray that runs
        on this machine; None: start a Ray on this machine.
    cpus : int or None
        Cores of a Ray that is started; None for all of them.
    object_store_bytes : int
        Memory for objects of a Ray that is started.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    DataError
        The address is none.
    EngineError
        No cluster answers there, or it runs another version of Ray or Python.
    """
    _quieten()
    ray = need("ray", extra="ray")
    if ray.is_initialized():
        yield Cluster(ray, ray.get_runtime_context().gcs_address, started=False, seconds=0.0)
        return
    began = perf_counter()
    if address is None:
        own: dict[str, Any] = {
            "address": "local",
            "num_cpus": cpus,
            "object_store_memory": object_store_bytes,
        }
    else:
        _check_answers(address)
        own = {"address": address}
    with _signals_kept():
        _init(ray, address, own)
    try:
        at = ray.get_runtime_context().gcs_address
        yield Cluster(ray, at, started=address is None, seconds=perf_counter() - began)
    finally:
        ray.shutdown()


def task_error(error: BaseException) -> FstoreError | None:
    """Return what a failure on the cluster means in our words; None if it is a fault of fstore.

    Parameters
    ----------
    error : BaseException
        What ``ray.get`` raised.
    """
    import ray.exceptions as of_ray

    cause = getattr(error, "cause", None)
    for raised in (cause, error):  # the error's own text has the worker's traceback
        if isinstance(raised, FstoreError):
            return raised
    if isinstance(error, of_ray.RuntimeEnvSetupError):
        return EngineError(f"a node of the cluster cannot start workers: {_first_line(error)}")
    if isinstance(cause, ModuleNotFoundError):
        return EngineError(
            f"a node of the cluster lacks a module ({cause}); install the same fstore on all nodes"
        )
    lost = (of_ray.RayActorError, of_ray.WorkerCrashedError, of_ray.NodeDiedError)
    if isinstance(error, (*lost, of_ray.OutOfMemoryError, of_ray.ObjectLostError)):
        return EngineError(
            f"workers of the cluster were lost more often than is tried again: "
            f"{_first_line(error)} Run the same command again: what was stored is not redone"
        )
    return None


def _quieten() -> None:
    """Turn off what Ray reports to its makers and tells a terminal; before it is imported."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else a warning
    os.environ.setdefault("RAY_TQDM_PATCH_PRINT", "0")
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # Ray's 30 s are short where busy


def _check_answers(address: str) -> None:
    """Refuse an address where nothing listens, within seconds."""
    if address == AUTO:
        return
    host, colon, port = address.rpartition(":")
    if "://" in address or not colon or not host or not port.isdecimal():
        raise DataError(
            f"no address of a Ray cluster: '{address}'; give HOST:PORT of its head, or auto, and "
            "run the command on a node of the cluster"
        )
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            pass
    except (OSError, OverflowError) as error:
        raise EngineError(
            f"no Ray cluster answers at {address}: {error}; start one there with "
            "'ray start --head', or leave --address out to start one for this run"
        ) from error


def _init(ray: "ModuleType", address: str | None, own: dict[str, Any]) -> None:
    """Call ``ray.init``; what can go wrong with a cluster is said in our words."""
    try:
        ray.init(
            **own,
            include_dashboard=False if address is None else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ConnectionError as error:
        where = "on this machine" if address == AUTO else f"at {address}"
        raise EngineError(
            f"no Ray cluster runs {where}; start one with 'ray start --head', or leave --address "
            "out to start one for this run"
        ) from error
    except RuntimeError as error:
        if "Version mismatch" in str(error):
            raise EngineError(
                f"the cluster at {address} differs from this program; install the same versions "
                f"of Python and Ray on all nodes. Ray says: {' '.join(str(error).split())}"
            ) from error
        raise EngineError(f"Ray cannot be started: {_first_line(error)}") from error
    except (OSError, ValueError) as error:
        raise StorageError(f"Ray cannot be started: {_first_line(error)}") from error
    except Exception as error:  # of Ray: a machine so busy that a node did not start in time
        raise EngineError(f"Ray cannot be started: {_first_line(error)}") from error


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Keep our own handler of SIGTERM, in whose place Ray puts one that leaves things behind."""
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM) if main else None
    try:
        yield
    finally:
        if handler is not None:
            signal.signal(signal.SIGTERM, handler)


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
