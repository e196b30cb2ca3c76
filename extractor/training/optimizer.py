"""Stochastic gradient descent as Caffe does it: the learning rate inside the velocity."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor.training.recipe import Recipe

__all__ = ["CaffeSGD", "freeze", "optimizer_for"]


class CaffeSGD:
    """Momentum with the learning rate inside: ``v = m v + lr (g + d w)``, then ``w -= v``.

    ``torch.optim.SGD`` multiplies by the learning rate on the way out, so that a drop of the rate
    slows at once what the velocity holds; here it runs on for some iterations. Has what is used of
    torch's optimizers; they themselves import torch's compiler, which takes 1.4 s.

    Parameters
    ----------
    groups : list of dict
        ``params``, ``lr`` and ``weight_decay`` of each.
    momentum : float
    """

    def __init__(self, groups: list[dict[str, Any]], *, momentum: float) -> None:
        self.param_groups = [{**group, "momentum": momentum} for group in groups]
        self._velocities: dict[nn.Parameter, Tensor] = {}

    @torch.no_grad()
    def step(self) -> None:
        """Update every parameter that has a gradient; the gradients are changed, too."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if not parameters:
                continue
            updates = [p.grad for p in parameters]
            velocities = [self._velocity(p) for p in parameters]
            if group["weight_decay"]:
                torch._foreach_add_(updates, parameters, alpha=group["weight_decay"])
            torch._foreach_mul_(velocities, group["momentum"])
            torch._foreach_add_(velocities, updates, alpha=group["lr"])
            torch._foreach_sub_(parameters, velocities)

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self._parameters():
            parameter.grad = None

    def state_dict(self) -> dict[str, Any]:
        """Return the velocities by the parameters' places, as torch's optimizers lay them out."""
        held = enumerate(self._parameters())
        velocities = self._velocities
        return {"state": {i: {"velocity": velocities[p]} for i, p in held if p in velocities}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        parameters = list(self._parameters())
        for place, kept in state["state"].items():
            parameter = parameters[int(place)]
            self._velocities[parameter] = kept["velocity"].to(parameter.device).clone()

    def _parameters(self) -> Iterator[nn.Parameter]:
        for group in self.param_groups:
            yield from group["params"]

    def _velocity(self, parameter: nn.Parameter) -> Tensor:
        if parameter not in self._velocities:
            self._velocities[parameter] = torch.zeros_like(parameter)
        return self._velocities[parameter]


def optimizer_for(model: nn.Module, recipe: Recipe) -> CaffeSGD:
    """Return the optimizer of a recipe: a group for each pair of factors on rate and decay.

    Each group's ``lr_factor`` says what the recipe's learning rate is multiplied by.

    Raises
    ------
    DataError
        The recipe lets no parameter learn.
    """
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        factors = recipe.multiplier(name)
        if factors.lr:
            groups.setdefault((factors.lr, factors.decay), []).append(parameter)
    if not groups:
        raise DataError("the recipe's multipliers freeze every parameter; let one learn")
    return CaffeSGD(
        [
            {
                "params": parameters,
                "lr": recipe.lr * lr,
                "lr_factor": lr,
                "weight_decay": recipe.weight_decay * decay,
            }
            for (lr, decay), parameters in groups.items()
        ],
        momentum=recipe.momentum,
    )


def freeze(model: nn.Module, recipe: Recipe) -> None:
    """Have what the recipe's factor 0 names keep its bits: no gradient, no running statistics.

    A module whose parameters and buffers are all frozen stays in evaluation mode, so that batch
    normalisation neither uses nor updates the statistics of a batch. To be called after each
    ``model.train()``.
    """
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(recipe.multiplier(name).lr != 0)
    for module in _frozen_modules(model, recipe):
        module.training = False


def _frozen_modules(model: nn.Module, recipe: Recipe) -> Iterator[nn.Module]:
    for path, module in model.named_modules():
        named_tensors = [
            *module.named_parameters(recurse=False),
            *module.named_buffers(recurse=False),
        ]
        names = [f"{path}.{name}" if path else name for name, _ in named_tensors]
        if names and not any(recipe.multiplier(name).lr for name in names):
            yield module
