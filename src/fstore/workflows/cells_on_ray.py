"""Cells of reports as tasks of Ray: an executor in the manner of ``concurrent.futures``.

Placement and retries are Ray's: a task whose worker or node is lost is run again, a few times.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from fstore.queries.refresh.elsewhere import Elsewhere
from fstore.workflows.engines import connected, task_error

__all__ = ["RayExecutor", "ray_elsewhere", "ray_executor"]


class RayExecutor:
    """Runs each function that is submitted as a task of one core, on the cluster that is connected.

    A future that is cancelled ends its task, also one that runs: tasks only read.
    """

    def submit(self, function: Callable[..., Any], /, *given: Any) -> "Future[Any]":  # noqa: ANN401
        """Have a function called by a worker.

        Parameters
        ----------
        function : callable
            Of a module that is installed there.
        *given
            What pickle can send.

        Returns
        -------
        Future
            With what the function returns or raises; EngineError if its worker was lost each time.
        """
        import ray

        ref = ray.remote(num_cpus=1)(function).remote(*given)
        future: Future[Any] = Future()
        future.add_done_callback(partial(_end_if_cancelled, ref=ref))
        ref.future().add_done_callback(partial(_pass_on, to=future))
        return future


@contextmanager
def ray_executor(address: str | None = None) -> Iterator[RayExecutor]:
    """Give what runs functions on a Ray cluster, as long as it is connected.

    Parameters
    ----------
    address : str or None
        As for :func:`fstore.workflows.engines.connected`, whose errors it raises.
    """
    with connected(address):
        yield RayExecutor()


def ray_elsewhere(address: str | None = None) -> Elsewhere:
    """Return a Ray cluster as where a refresh has its cells computed; nothing is connected yet.

    Parameters
    ----------
    address : str or None
        As for :func:`ray_executor`.
    """
    return Elsewhere(partial(ray_executor, address))


def _end_if_cancelled(future: "Future[Any]", *, ref: Any) -> None:  # noqa: ANN401
    import ray

    if future.cancelled() and ray.is_initialized():
        with suppress(Exception):  # it may be over, or the cluster be gone
            ray.cancel(ref, force=True)


def _pass_on(over: "Future[Any]", *, to: "Future[Any]") -> None:
    """Give a future what Ray says of its task."""
    error = over.exception()
    with suppress(InvalidStateError):  # it was cancelled
        if error is None:
            to.set_result(over.result())
        else:
            to.set_exception(task_error(error) or error)
