"""A model in training: its updates, its state on the disk, what is measured on it."""

import copy
import json
import math
from pathlib import Path

import torch
from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor.devices import to_device
from fstore.extractor.networks import Network
from fstore.extractor.training.distributed import ALONE, Processes, share_batches
from fstore.extractor.training.examples import Targets, TrainingData, random_seed
from fstore.extractor.training.objective import class_scores, loss_sum, measure, measure_name
from fstore.extractor.training.optimizer import freeze, optimizer_for
from fstore.extractor.training.recipe import Recipe
from fstore.extractor.training.region_examples import RegionExamples
from fstore.extractor.training.state import RunState, load_state, save_state
from fstore.extractor.warping import Inputs
from fstore.extractor.weights.checkpoints import tensors_sha256

__all__ = ["TrainingRun"]

LARGEST_LR = torch.finfo(torch.float32).max  # beyond it torch fails before training diverges
AUTOCAST = {"off": None, "bfloat16": torch.bfloat16, "float16": torch.float16}


class TrainingRun:
    """A model in training and what it is trained with.

    Parameters
    ----------
    network : Network
        Copied.
    data : TrainingData
    recipe : Recipe
    seed : int
    device : str
    processes : Processes
        Those that train together.
    """

    def __init__(
        self,
        network: Network,
        data: TrainingData,
        recipe: Recipe,
        *,
        seed: int,
        device: str,
        processes: Processes = ALONE,
    ) -> None:
        self.device = torch.device(device)
        self.data, self.recipe, self.seed, self.processes = data, recipe, seed, processes
        self._preprocess = network.preprocess
        self.size = network.preprocess.size
        self.measure = measure_name(data.held_out.labels)
        self.iteration = 0
        self.losses: list[float] = []
        self.validation: list[tuple[int, float]] = []
        self.identity = _identity(network, data, recipe, seed=seed)
        self.model = _prepared(network.model, recipe, device=self.device, processes=processes)
        self.optimizer = optimizer_for(self.model, recipe)
        self._parallel = processes.parallel(self.model)
        self._scaler = torch.amp.GradScaler(self.device.type, enabled=recipe.amp == "float16")

    @property
    def held_out(self) -> float | None:
        """What was last measured on the held-out examples."""
        return self.validation[-1][1] if self.validation else None

    def resume(self, folder: Path) -> None:
        """Take over the state that an interrupted run left, if any."""
        state = load_state(folder, self.identity)
        if state is None:
            return
        self.model.load_state_dict(state.model)
        self.optimizer.load_state_dict(state.optimizer)
        self._scaler.load_state_dict(state.scaler)
        self.iteration, self.losses = state.iteration, list(state.losses)
        self.validation = [(int(i), float(v)) for i, v in state.validation]

    def save(self, folder: Path) -> None:
        """Write the state, unless it is spoilt; of several processes the first one does."""
        self._check_weights()
        if self.processes.rank:
            return
        state = RunState(
            self.identity,
            self.iteration,
            self.model.state_dict(),
            self.optimizer.state_dict(),
            self._scaler.state_dict(),
            self.losses,
            self.validation,
        )
        save_state(state, folder)

    def batch(self, iteration: int) -> tuple[Inputs, Targets]:
        """Return this process's rows of an iteration: inputs (B, 3, S, S) and their targets.

        Regions are warped on a GPU where the model is on one.
        """
        recipe, train = self.recipe, self.data.train
        seeds = {"seed": self.seed, "iteration": iteration}
        rows = self.processes.rows(recipe.batch_size)
        if self.device.type != "cpu" and isinstance(train, RegionExamples):
            return train.cut_batch(recipe.batch_size, **seeds, mirror=recipe.mirror, rows=rows)
        return train.batch(
            recipe.batch_size, **seeds, size=self.size, mirror=recipe.mirror, rows=rows
        )

    def step(self, iteration: int, X: Inputs, y: Targets) -> float:
        """Update the weights once; return the batch's loss."""
        lr = self.recipe.lr_at(iteration)
        for group in self.optimizer.param_groups:
            group["lr"] = min(lr * group["lr_factor"], LARGEST_LR)
        x = to_device(X, self._preprocess, self.device)
        if not self.model.training:
            self._parallel.train()
            freeze(self.model, self.recipe)
        loss = self._loss(iteration, x, torch.from_numpy(y).to(self.device))
        value = float(self.processes.mean(loss))
        if not math.isfinite(value):
            raise DataError(_diverged(f"the loss is {value}", iteration, lr))
        self.optimizer.zero_grad()
        self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
        self._scaler.step(self.optimizer)  # type: ignore[arg-type]  # has what it uses
        self._scaler.update()
        self.iteration = iteration
        self.losses.append(value)
        return value

    def _loss(self, iteration: int, x: Tensor, targets: Tensor) -> Tensor:
        """Loss whose mean over the processes is the batch's; dropout follows the iteration."""
        devices = [self.device] if self.device.type == "cuda" else []
        kind = AUTOCAST[self.recipe.amp]
        share = self.processes.world / self.recipe.batch_size
        with (
            torch.random.fork_rng(devices),
            torch.autocast(self.device.type, dtype=kind, enabled=kind is not None),
        ):
            torch.manual_seed(random_seed(self.seed, iteration))
            return loss_sum(class_scores(self._parallel(x)), targets) * share

    def validate(self) -> None:
        """Measure on the held-out examples, unless that is done; the first process does."""
        if self.processes.rank or (self.validation and self.validation[-1][0] == self.iteration):
            return
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


def _prepared(
    model: nn.Module, recipe: Recipe, *, device: torch.device, processes: Processes
) -> nn.Module:
    """Copy a model to where it learns; it is left in evaluation mode."""
    if recipe.amp == "float16" and device.type == "cpu":
        raise DataError("amp float16 needs a GPU; use bfloat16, or off")
    if recipe.batch_size < processes.world:
        raise DataError(
            f"a batch of {recipe.batch_size} cannot be shared by {processes.world} processes; "
            "give a larger --batch-size"
        )
    copied = copy.deepcopy(model).eval().to(device)
    if device.type == "cuda":
        copied = copied.to(memory_format=torch.channels_last)
    copied = share_batches(copied, processes, recipe.batch_size)
    freeze(copied, recipe)
    return copied


def _identity(network: Network, data: TrainingData, recipe: Recipe, *, seed: int) -> str:
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
