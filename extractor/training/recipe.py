"""How weights are trained: the numbers, and what follows from them for each iteration."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

from msgspec.structs import asdict as table

from fstore.errors import DataError
from fstore.names import snapshot_name
from fstore.toml_file import Table

__all__ = ["Multiplier", "Recipe", "run_length", "snapshot_name"]

AMP = ("off", "bfloat16", "float16")


class Multiplier(Table, frozen=True):
    """Factors on learning rate and weight decay for parameters whose name fits ``pattern``."""

    pattern: str
    lr: float
    decay: float


@dataclass(frozen=True, slots=True)
class Recipe:
    """Stochastic gradient descent with momentum, in Caffe's terms.

    Attributes
    ----------
    lr : float
        Learning rate of the first iteration.
    batch_size : int
        Examples an iteration.
    momentum, weight_decay : float
        The decay is a factor on the weights, added to the gradient.
    step, gamma : int, float
        After every ``step`` iterations the learning rate is multiplied by ``gamma``.
    mirror : bool
        Whether half of the images, at random, are mirrored.
    amp : {"off", "bfloat16", "float16"}
        Mixed precision: what torch's autocast computes in; ``float16`` needs a GPU.
    multipliers : tuple of Multiplier
        The first whose pattern (as of file names) fits a parameter's name counts; none: 1 and 1.
        A factor of 0 on the learning rate freezes the parameter. By default, as in Caffe's
        reference model, biases learn twice as fast and do not decay.
    """

    lr: float
    batch_size: int
    momentum: float = 0.9
    weight_decay: float = 5e-4
    step: int = 100_000
    gamma: float = 0.1
    mirror: bool = False
    amp: str = "off"
    multipliers: tuple[Multiplier, ...] = (Multiplier("*.bias", lr=2.0, decay=0.0),)

    def __post_init__(self) -> None:
        positive = {"lr": self.lr, "batch size": self.batch_size, "step": self.step}
        for name, value in {**positive, "gamma": self.gamma}.items():
            if not value > 0:
                raise DataError(f"{name} of a recipe must be above 0, not {value}")
        if not 0 <= self.momentum < 1:
            raise DataError(f"momentum lies from 0 to below 1, not at {self.momentum}")
        if not self.weight_decay >= 0:
            raise DataError(f"weight decay of a recipe is 0 or above, not {self.weight_decay}")
        if self.amp not in AMP:
            raise DataError(f"unknown amp {self.amp!r}; use {', '.join(AMP)}")

    @classmethod
    def from_defaults(cls, defaults: Mapping[str, object], **changes: object) -> "Recipe":
        """Return a network's recipe with changes; a change of None keeps the default.

        Raises
        ------
        DataError
            The network states no recipe, and a number is not given; or no such entry.
        """
        entries = {f.name for f in fields(cls)}
        if unknown := sorted(set(changes) - entries):
            raise DataError(f"a recipe has no {unknown[0]!r}; it has: {', '.join(sorted(entries))}")
        stated = {k: v for k, v in defaults.items() if k in entries}
        stated |= {k: v for k, v in changes.items() if v is not None}
        if missing := [name for name in ("lr", "batch_size") if name not in stated]:
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in missing)
            raise DataError(f"the network states no training recipe; give {flags}")
        return cls(**stated)  # type: ignore[arg-type]

    def lr_at(self, iteration: int) -> float:
        """Learning rate of the update that completes ``iteration``, which counts from 1."""
        return self.lr * float(self.gamma ** ((iteration - 1) // self.step))

    def multiplier(self, name: str) -> Multiplier:
        """Return the factors for a parameter."""
        fitting = (m for m in self.multipliers if fnmatchcase(name, m.pattern))
        return next(fitting, Multiplier("*", 1.0, 1.0))

    def to_json(self) -> str:
        """Return a canonical JSON text."""
        return json.dumps(asdict(self), default=table, sort_keys=True)


def run_length(
    defaults: Mapping[str, object], iterations: int | None, snapshots: Sequence[int]
) -> tuple[int, list[int]]:
    """Return a run's iterations and its snapshots, in order.

    Parameters
    ----------
    defaults : mapping
        A network's recipe; may state ``iterations`` and ``snapshots``.
    iterations : int or None
        None: the network's own number.
    snapshots : sequence of int
        Empty: the network's own that lie within ``iterations``, and the last iteration.

    Raises
    ------
    DataError
        The network states no number of iterations, and none is given.
    """
    stated: Any = defaults
    total = iterations if iterations is not None else stated.get("iterations")
    if total is None:
        raise DataError("the network states no number of iterations; give --iterations")
    if snapshots:
        return total, sorted(set(snapshots))
    on_the_way = [s for s in stated.get("snapshots", ()) if s < total]
    return total, [*on_the_way, total]
