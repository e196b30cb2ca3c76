"""The training loop: the same weights for the same seed, whether it was interrupted or not.

On the CPU of one machine, with the same number of threads, runs are bit-equal. Everything random
of an iteration (examples, crops, mirroring, dropout) is drawn from (seed, iteration) alone, so
the state of a run holds no generator.
"""

import copy
import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fstore.errors import DataError
from fstore.extractor.networks._api import Network
from fstore.extractor.training.examples import (
    Examples,
    TrainingData,
    centre_crop,
    draw,
    random_crop,
    random_seed,
)
from fstore.extractor.training.recipe import Recipe
from fstore.extractor.training.state import RunState, load_state, save_state
from fstore.extractor.weights.checkpoints import tensors_sha256

__all__ = ["Snapshot", "Step", "accuracy", "pretrain"]


@dataclass(frozen=True, slots=True)
class Step:
    """One iteration that was done: its number from 1, its batch's mean loss, lr and size."""

    iteration: int
    loss: float
    lr: float
    images: int


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
        Of the iteration that led here; cross-entropy in nats, mean over its batch.
    accuracy : float
        Share of the held-out examples that are classified rightly, 0 to 1.
    """

    iteration: int
    weights: dict[str, Tensor]
    lr: float
    loss: float
    accuracy: float


def pretrain(
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
        Learning rate, batch size and so on.
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
    on_step : function of Step, or None
        Called after each iteration.

    Raises
    ------
    DataError
        Snapshots out of range, no examples, a damaged or foreign state, an unreadable image,
        or a loss that is not finite.
    """
    _check(data, iterations, snapshots, seed)
    run = _Run(network, data, recipe, seed, torch.device(device))
    run.resume(state_dir)
    for iteration, batch in _batches(run, iterations):
        loss = run.step(iteration, *batch)
        if on_step is not None:
            on_step(Step(iteration, loss, recipe.lr_at(iteration), recipe.batch_size))
        if iteration in snapshots:
            yield run.snapshot()
        if iteration in snapshots or iteration % save_every == 0 or iteration == iterations:
            run.save(state_dir)


def _check(data: TrainingData, iterations: int, snapshots: Sequence[int], seed: int) -> None:
    if outside := [s for s in snapshots if not 1 <= s <= iterations]:
        raise DataError(f"snapshots must lie within 1 and {iterations}, not {outside}")
    if seed < 0:
        raise DataError(f"a seed counts from 0, not {seed}")
    if not len(data.train.labels) or not len(data.held_out.labels):
        raise DataError("training needs examples to learn from and others to be measured on")


def _batches(
    run: "_Run", iterations: int
) -> Iterator[tuple[int, tuple[NDArray[np.float32], NDArray[np.int64]]]]:
    """Yield the batches to come; the next one is decoded while one is in use."""
    with ThreadPoolExecutor(1, thread_name_prefix="fstore-batch") as pool:
        coming: Future[tuple[NDArray[np.float32], NDArray[np.int64]]] | None = None
        for iteration in range(run.iteration + 1, iterations + 1):
            batch = coming.result() if coming is not None else run.batch(iteration)
            more = iteration < iterations
            coming = pool.submit(run.batch, iteration + 1) if more else None
            yield iteration, batch


class _Run:
    """A model in training and what it is trained with."""

    def __init__(
        self, network: Network, data: TrainingData, recipe: Recipe, seed: int, device: torch.device
    ) -> None:
        self.model = copy.deepcopy(network.model).to(device)
        self.data, self.recipe, self.seed, self.device = data, recipe, seed, device
        self.size = network.preprocess.size
        self.iteration = 0
        self.losses: list[float] = []
        self.optimizer = torch.optim.SGD(_groups(self.model, recipe), momentum=recipe.momentum)
        about = {
            "network": network.name,
            "recipe": recipe.to_json(),
            "seed": seed,
            "data": data.identity,
            "preprocessing": network.preprocess.hash,
            "weights": tensors_sha256(network.model.state_dict()),
        }
        self.identity = json.dumps(about, sort_keys=True)

    def resume(self, folder: Path) -> None:
        """Take over the state that an interrupted run left, if any."""
        state = load_state(folder, self.identity)
        if state is not None:
            self.model.load_state_dict(state.model)
            self.optimizer.load_state_dict(state.optimizer)
            self.iteration, self.losses = state.iteration, list(state.losses)

    def save(self, folder: Path) -> None:
        """Write the state."""
        model, optimizer = self.model.state_dict(), self.optimizer.state_dict()
        state = RunState(self.identity, self.iteration, model, optimizer, self.losses)
        save_state(state, folder)

    def batch(self, iteration: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return an iteration's images (B, 3, S, S) and their classes (B,)."""
        train, recipe = self.data.train, self.recipe
        places = draw(len(train.labels), recipe.batch_size, seed=self.seed, iteration=iteration)
        seed = random_seed(self.seed, iteration)
        images = random_crop(train.load(places), self.size, mirror=recipe.mirror, seed=seed)
        return images, train.labels[places]

    def step(self, iteration: int, X: NDArray[np.float32], y: NDArray[np.int64]) -> float:
        """Update the weights once; return the batch's loss."""
        lr = self.recipe.lr_at(iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_factor"]
        x = torch.from_numpy(X).clone().to(self.device)  # aligned: the same kernels every time
        target = torch.from_numpy(y).to(self.device)
        devices = [self.device] if self.device.type == "cuda" else []
        self.model.train()
        with torch.random.fork_rng(devices):
            torch.manual_seed(random_seed(self.seed, iteration))  # dropout
            loss = functional.cross_entropy(_scores(self.model(x)), target)
        value = float(loss.item())
        if not math.isfinite(value):
            raise DataError(
                f"the loss is {value} after {iteration} iterations with lr {lr:g}; "
                "start again with a smaller --lr"
            )
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.iteration = iteration
        self.losses.append(value)
        return value

    def snapshot(self) -> Snapshot:
        """Copy the weights and measure them."""
        weights = {n: t.detach().cpu().clone() for n, t in self.model.state_dict().items()}
        lr = self.recipe.lr_at(self.iteration)
        share = accuracy(self.model, self.data.held_out, self.size)
        return Snapshot(self.iteration, weights, lr, self.losses[-1], share)


def _groups(model: nn.Module, recipe: Recipe) -> list[dict[str, object]]:
    """Return one parameter group for each pair of factors on learning rate and decay."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        factors = recipe.multiplier(name)
        groups.setdefault((factors.lr, factors.decay), []).append(parameter)
    return [
        {"params": p, "lr": recipe.lr, "lr_factor": lr, "weight_decay": recipe.weight_decay * decay}
        for (lr, decay), p in groups.items()
    ]


def _scores(output: object) -> Tensor:
    """Return the main scores; some networks add auxiliary ones in training."""
    scores = output[0] if isinstance(output, (tuple, list)) else output
    if not isinstance(scores, Tensor) or scores.ndim != 2:
        raise DataError("the network's output must be class scores of shape (batch, classes)")
    return scores


def accuracy(model: nn.Module, examples: Examples, size: int, *, batch_size: int = 128) -> float:
    """Share of examples whose highest score is that of their class, 0 to 1.

    Parameters
    ----------
    model : torch.nn.Module
        Put into evaluation mode.
    examples : Examples
        Their middle is cropped.
    size : int
        Side of the model's input, pixels.
    batch_size : int
        Images a forward pass.
    """
    model.eval()
    device = next(model.parameters()).device
    right = 0
    n_examples = len(examples.labels)
    with torch.inference_mode():
        for start in range(0, n_examples, batch_size):
            places = np.arange(start, min(start + batch_size, n_examples))
            x = torch.from_numpy(centre_crop(examples.load(places), size)).to(device)
            predicted = _scores(model(x)).argmax(dim=1).cpu().numpy()
            right += int((predicted == examples.labels[places]).sum())
    return right / n_examples
