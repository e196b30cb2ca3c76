"""The training loop: the same weights for the same seed, whether it was interrupted or not.

On the CPU of one machine, with the same number of threads, runs are bit-equal. Everything random
of an iteration (examples, crops, mirroring, dropout) is drawn from (seed, iteration) alone, so
the state of a run holds no generator.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from time import perf_counter
from typing import Any

from torch import Tensor

from fstore.errors import DataError
from fstore.extractor.devices import keep_freed_memory
from fstore.extractor.networks import Network
from fstore.extractor.training.distributed import ALONE, Processes
from fstore.extractor.training.examples import Targets, TrainingData
from fstore.extractor.training.recipe import Recipe
from fstore.extractor.training.run import TrainingRun
from fstore.extractor.warping import Inputs

__all__ = ["CURVE_POINTS", "Snapshot", "Step", "thin", "train"]

CURVE_POINTS = 200
"""Points of the loss curve that a checkpoint keeps."""

AHEAD = 2  # batches that are decoded while one is in use
PAUSE_S = 60.0  # between saves of the state, at least
SAVING_PAUSE = 20.0  # times the duration of the last save


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration that was done.

    Attributes
    ----------
    iteration, of : int
        Its number, from 1, and how many there are in all.
    loss, lr : float
        Mean loss of its batch, nats; its learning rate.
    images : int
        Of its batch.
    held_out : float or None
        What was last measured on the held-out examples, if anything yet.
    """

    iteration: int
    of: int
    loss: float
    lr: float
    images: int
    held_out: float | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The weights after some iterations.

    Attributes
    ----------
    iteration : int
        Iterations done.
    weights : dict of name to Tensor
        Copies on the CPU.
    lr, loss : float
        Of the iteration that led here; nats, mean over its batch.
    accuracy : float
        What was measured on the held-out examples, 0 to 1; ``measure`` says what.
    measure : str
        ``accuracy``, the share that is classified rightly, or ``mean AP``.
    curve : list of float
        Loss of every iteration so far.
    validation : list of (int, float)
        What was measured on the way: iteration and value.
    """

    iteration: int
    weights: dict[str, Tensor]
    lr: float
    loss: float
    accuracy: float
    measure: str
    curve: list[float]
    validation: list[tuple[int, float]]

    def to_recipe(self) -> dict[str, Any]:
        """Return what a checkpoint's recipe keeps of the way: measures and a thinned curve.

        ``held_out_accuracy`` (or ``held_out_mean_ap``), ``curve`` as [[iteration, loss], ...] and
        ``validation`` as [[iteration, value], ...]. What could not be measured (no class has both
        labels among the held-out examples) is None, and no point.
        """
        name = "held_out_" + self.measure.lower().replace(" ", "_")
        return {
            name: None if isnan(self.accuracy) else self.accuracy,
            "curve": [list(point) for point in thin(self.curve)],
            "validation": [[i, value] for i, value in self.validation if not isnan(value)],
        }


def thin(losses: Sequence[float], points: int = CURVE_POINTS) -> list[tuple[int, float]]:
    """Return means over equal runs of iterations, each with the last iteration of its run.

    Parameters
    ----------
    losses : sequence of float
        Of iterations 1, 2, ...
    points : int
        At most so many are returned.

    Examples
    --------
    >>> thin([4.0, 2.0, 3.0, 1.0, 1.0], points=3)
    [(2, 3.0), (4, 2.0), (5, 1.0)]
    """
    width = -(-len(losses) // points) or 1
    runs = [losses[start : start + width] for start in range(0, len(losses), width)]
    return [(min((i + 1) * width, len(losses)), sum(r) / len(r)) for i, r in enumerate(runs)]


def train(
    network: Network,
    data: TrainingData,
    *,
    recipe: Recipe,
    iterations: int,
    snapshots: Sequence[int],
    seed: int,
    state_dir: Path,
    device: str = "cpu",
    save_every: int | None = None,
    validate_every: int | None = None,
    processes: Processes = ALONE,
    on_step: Callable[[Step], None] | None = None,
) -> Iterator[Snapshot]:
    """Train a network, yielding its weights at the snapshots.

    Parameters
    ----------
    network : Network
        Training starts from its weights; it is not changed.
    data : TrainingData
        Examples to learn from and to measure on.
    recipe : Recipe
        Learning rate, batch size and so on. Parameters whose factor on the learning rate is 0
        keep their bits.
    iterations : int
        Batches in all, those done before an interruption included.
    snapshots : sequence of int
        Iterations after which to yield, from 1 to ``iterations``.
    seed : int
        From 0; of everything random but the initial weights.
    state_dir : Path
        Where the run's state is kept. A state of the same run there is resumed: snapshots from
        it on are yielded.
    device : str
        A torch device.
    save_every : int or None
        Iterations between saves of the state; None: a minute, or so that saving takes at most
        one twentieth of the time. It is saved before each snapshot and at the end anyway.
    validate_every : int or None
        Measure on the held-out examples after every so many iterations, too; None: at snapshots.
    processes : Processes
        Those that train together, each with a call like this one; the first yields and writes.
    on_step : function of Step, or None
        Called after each iteration.

    Raises
    ------
    DataError
        Snapshots out of range, no examples or a single class, a damaged or foreign state, an
        unreadable image, or a loss or weights that are not finite; the state and the snapshots
        from before are kept.
    StorageError
        The state cannot be written; the one before is kept.
    """
    _check(data, iterations=iterations, snapshots=snapshots, seed=seed)
    run = TrainingRun(network, data, recipe, seed=seed, device=device, processes=processes)
    run.resume(state_dir)
    if run.device.type == "cpu":
        keep_freed_memory()
    if run.iteration in snapshots:  # killed before it was taken, perhaps
        yield from _snapshot(run)
    due = _Due(save_every)
    for iteration, batch in _batches(run, iterations):
        loss = run.step(iteration, *batch)
        wanted = iteration in snapshots
        if wanted or (validate_every and iteration % validate_every == 0):
            run.validate()
        if on_step is not None:
            lr, held_out = recipe.lr_at(iteration), run.held_out
            on_step(Step(iteration, iterations, loss, lr, recipe.batch_size, held_out))
        if wanted or iteration == iterations or due.now(iteration):
            due.keep_time(lambda: run.save(state_dir))
        if wanted:
            yield from _snapshot(run)


def _check(data: TrainingData, *, iterations: int, snapshots: Sequence[int], seed: int) -> None:
    if outside := [s for s in snapshots if not 1 <= s <= iterations]:
        raise DataError(f"snapshots must lie within 1 and {iterations}, not {outside}")
    if seed < 0:
        raise DataError(f"a seed counts from 0, not {seed}")
    labels = data.train.labels
    if not len(labels) or not len(data.held_out.labels):
        raise DataError("training needs examples to learn from and others to be measured on")
    if labels.ndim == 1 and labels.min() == labels.max():
        raise DataError(
            f"all {len(labels)} examples to learn from are of one class; training needs two or "
            "more (a folder of images has one folder a class)"
        )


class _Due:
    """Says when the state is to be saved again."""

    def __init__(self, every: int | None) -> None:
        self._every = every
        self._next = perf_counter() + PAUSE_S

    def now(self, iteration: int) -> bool:
        if self._every is not None:
            return iteration % self._every == 0
        return perf_counter() >= self._next

    def keep_time(self, save: Callable[[], None]) -> None:
        """Save, and pause in proportion."""
        began = perf_counter()
        save()
        ended = perf_counter()
        self._next = ended + max(PAUSE_S, SAVING_PAUSE * (ended - began))


def _batches(run: TrainingRun, iterations: int) -> Iterator[tuple[int, tuple[Inputs, Targets]]]:
    """Yield the batches to come; the next ones are decoded while one is in use."""
    coming: deque[Future[tuple[Inputs, Targets]]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="fstore-batch") as pool:
        try:
            for iteration in range(run.iteration + 1, iterations + 1):
                while len(coming) <= min(AHEAD, iterations - iteration):
                    coming.append(pool.submit(run.batch, iteration + len(coming)))
                yield iteration, coming.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def _snapshot(run: TrainingRun) -> Iterator[Snapshot]:
    """Yield the snapshot, where it is this process that does."""
    if run.processes.rank:
        return
    run.validate()
    yield Snapshot(
        iteration=run.iteration,
        weights=run.weights(),
        lr=run.recipe.lr_at(run.iteration),
        loss=run.losses[-1],
        accuracy=run.validation[-1][1],
        measure=run.measure,
        curve=list(run.losses),
        validation=list(run.validation),
    )
