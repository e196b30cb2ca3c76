"""The training loop: the same weights for the same seed, whether it was interrupted or not.

On the CPU of one machine, with the same number of threads, runs are bit-equal. Everything random
of an iteration (examples, crops, mirroring, dropout) is drawn from (seed, iteration) alone, so
the state of a run holds no generator.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from fstore.errors import DataError
from fstore.extractor.networks._api import Network
from fstore.extractor.training.examples import Batch, TrainingData
from fstore.extractor.training.recipe import Recipe
from fstore.extractor.training.run import Run

__all__ = ["CURVE_POINTS", "Snapshot", "Step", "thin", "train"]

CURVE_POINTS = 200
"""Points of the loss curve that a checkpoint keeps."""


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration that was done.

    Attributes
    ----------
    iteration : int
        Its number, from 1.
    loss, lr : float
        Mean loss of its batch, nats; its learning rate.
    images : int
        Of its batch.
    held_out : float or None
        What was last measured on the held-out examples, if anything yet.
    """

    iteration: int
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
        ``validation`` as [[iteration, value], ...].
        """
        name = "held_out_" + self.measure.lower().replace(" ", "_")
        return {
            name: self.accuracy,
            "curve": [list(point) for point in thin(self.curve)],
            "validation": [list(point) for point in self.validation],
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
    save_every: int = 100,
    validate_every: int | None = None,
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
        Where the run's state is kept. A state of the same run there is resumed: snapshots after
        it are yielded. One is saved every ``save_every`` iterations, after each snapshot that
        was taken from the iterator, and at the end.
    device : str
        A torch device.
    validate_every : int or None
        Measure on the held-out examples after every so many iterations, too; None: at snapshots.
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
    _check(data, iterations, snapshots, seed)
    run = Run(network, data, recipe, seed=seed, device=device)
    run.resume(state_dir)
    for iteration, batch in _batches(run, iterations):
        loss = run.step(iteration, *batch)
        wanted = iteration in snapshots
        if wanted or (validate_every and iteration % validate_every == 0):
            run.validate()
        if on_step is not None:
            lr, held_out = recipe.lr_at(iteration), run.held_out
            on_step(Step(iteration, loss, lr, recipe.batch_size, held_out))
        if wanted:
            yield _snapshot(run)
        if wanted or iteration % save_every == 0 or iteration == iterations:
            run.save(state_dir)


def _check(data: TrainingData, iterations: int, snapshots: Sequence[int], seed: int) -> None:
    if outside := [s for s in snapshots if not 1 <= s <= iterations]:
        raise DataError(f"snapshots must lie within 1 and {iterations}, not {outside}")
    if seed < 0:
        raise DataError(f"a seed counts from 0, not {seed}")
    if not len(data.train.labels) or not len(data.held_out.labels):
        raise DataError("training needs examples to learn from and others to be measured on")


def _batches(run: Run, iterations: int) -> Iterator[tuple[int, Batch]]:
    """Yield the batches to come; the next one is decoded while one is in use."""
    with ThreadPoolExecutor(1, thread_name_prefix="fstore-batch") as pool:
        coming: Future[Batch] | None = None
        for iteration in range(run.iteration + 1, iterations + 1):
            batch = coming.result() if coming is not None else run.batch(iteration)
            more = iteration < iterations
            coming = pool.submit(run.batch, iteration + 1) if more else None
            yield iteration, batch


def _snapshot(run: Run) -> Snapshot:
    return Snapshot(
        iteration=run.iteration,
        weights=run.weights(),
        lr=run.recipe.lr_at(run.iteration),
        loss=run.losses[-1],
        accuracy=run.validation[-1][1],
        measure=run.measure,
        curve=list(run.losses),
        validation=list(run.validation),
    )
