"""A model in training: its updates, its state on the disk, what is measured on it."""

import copy
import json
import math
from pathlib import Path

import torch
from torch import Tensor

from fstore.errors import DataError
from fstore.extractor.networks._api import Network
from fstore.extractor.training.examples import Batch, Targets, TrainingData, random_seed
from fstore.extractor.training.objective import class_scores, loss_sum, measure, measure_name
from fstore.extractor.training.optimizer import freeze, optimizer_for
from fstore.extractor.training.recipe import Recipe
from fstore.extractor.training.state import RunState, load_state, save_state
from fstore.extractor.weights.checkpoints import tensors_sha256
from fstore.types import FloatArray

__all__ = ["Run"]


class Run:
    """A model in training and what it is trained with.

    Parameters
    ----------
    network : Network
        Copied.
    data : TrainingData
    recipe : Recipe
    seed : int
    device : str
    """

    def __init__(
        self, network: Network, data: TrainingData, recipe: Recipe, *, seed: int, device: str
    ) -> None:
        self.device = torch.device(device)
        self.model = copy.deepcopy(network.model).to(self.device)
        self.data, self.recipe, self.seed = data, recipe, seed
        self.size = network.preprocess.size
        self.measure = measure_name(data.held_out.labels)
        self.iteration = 0
        self.losses: list[float] = []
        self.validation: list[tuple[int, float]] = []
        self.optimizer = optimizer_for(self.model, recipe)
        self.identity = _identity(network, data, recipe, seed)

    @property
    def held_out(self) -> float | None:
        """What was last measured on the held-out examples."""
        return self.validation[-1][1] if self.validation else None

    def resume(self, folder: Path) -> None:
        """Take over the state that an interrupted run left, if any."""
        state = load_state(folder, self.identity)
        if state is not None:
            self.model.load_state_dict(state.model)
            self.optimizer.load_state_dict(state.optimizer)
            self.iteration, self.losses = state.iteration, list(state.losses)
            self.validation = [(int(i), float(v)) for i, v in state.validation]

    def save(self, folder: Path) -> None:
        """Write the state, unless it is spoilt."""
        self._check_weights()
        state = RunState(
            self.identity,
            self.iteration,
            self.model.state_dict(),
            self.optimizer.state_dict(),
            self.losses,
            self.validation,
        )
        save_state(state, folder)

    def batch(self, iteration: int) -> Batch:
        """Return an iteration's images (B, 3, S, S) and their targets."""
        recipe = self.recipe
        return self.data.train.batch(
            recipe.batch_size,
            seed=self.seed,
            iteration=iteration,
            size=self.size,
            mirror=recipe.mirror,
        )

    def step(self, iteration: int, X: FloatArray, y: Targets) -> float:
        """Update the weights once; return the batch's loss."""
        lr = self.recipe.lr_at(iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_factor"]
        x = torch.from_numpy(X).clone().to(self.device)  # aligned: the same kernels every time
        targets = torch.from_numpy(y).to(self.device)
        self.model.train()
        freeze(self.model, self.recipe)
        loss = self._loss(iteration, x, targets)
        value = float(loss.item())
        if not math.isfinite(value):
            raise DataError(_diverged(f"the loss is {value}", iteration, lr))
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.iteration = iteration
        self.losses.append(value)
        return value

    def _loss(self, iteration: int, x: Tensor, targets: Tensor) -> Tensor:
        """Mean loss of a batch; dropout is drawn from the seed and the iteration."""
        devices = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            torch.manual_seed(random_seed(self.seed, iteration))
            return loss_sum(class_scores(self.model(x)), targets) / self.recipe.batch_size

    def validate(self) -> None:
        """Measure on the held-out examples."""
        value = measure(self.model, self.data.held_out, self.size)
        self.validation.append((self.iteration, value))

    def weights(self) -> dict[str, Tensor]:
        """Copy the weights to the CPU."""
        self._check_weights()
        return {n: t.detach().cpu().clone() for n, t in self.model.state_dict().items()}

    def _check_weights(self) -> None:
        """Refuse weights that the last update spoilt, although the loss before it was a number."""
        for name, tensor in self.model.state_dict().items():
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                lr = self.recipe.lr_at(self.iteration)
                raise DataError(_diverged(f"{name} is not finite", self.iteration, lr))


def _identity(network: Network, data: TrainingData, recipe: Recipe, seed: int) -> str:
    about = {
        "network": network.name,
        "recipe": recipe.to_json(),
        "seed": seed,
        "data": data.identity,
        "preprocessing": network.preprocess.hash,
        "weights": tensors_sha256(network.model.state_dict()),
    }
    return json.dumps(about, sort_keys=True)


def _diverged(what: str, iteration: int, lr: float) -> str:
    return (
        f"training diverged: {what} after {iteration} iterations with lr {lr:g}; snapshots and "
        "state from before are kept; start again with a smaller --lr"
    )
