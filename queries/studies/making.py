"""What a study file says of how its data sets and checkpoints are made from raw files."""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any, TypeAlias

from fstore import commands
from fstore.errors import DataError
from fstore.names import snapshot_name
from fstore.queries.studies.toml_values import (
    check_keys,
    one_of,
    seed_number,
    seed_numbers,
    tables,
    text,
    texts,
    true_or_false,
    whole_number,
    whole_numbers,
)
from fstore.queries.studies.tuned import MODES, VIEWS

__all__ = [
    "RECIPE",
    "MakeCheckpoint",
    "MakeDataset",
    "MakeFinetune",
    "MakePretrain",
    "MakeProposals",
    "Making",
    "parse_making",
]

Value: TypeAlias = "str | int | float | bool"
Pairs: TypeAlias = "tuple[tuple[str, Value], ...]"
Reader: TypeAlias = Callable[[object, str], object]


@dataclass(frozen=True, slots=True)
class MakeDataset:
    """A data set to register; ``root`` is relative to the folder of data, None if generated.

    ``options`` are those of its format and are checked by it.
    """

    name: str
    format: str
    root: str | None = None
    seeds: tuple[int, ...] = ()
    fractions: tuple[float, float, float] | None = None
    options: Pairs = ()


@dataclass(frozen=True, slots=True)
class MakeProposals:
    """How proposals of a data set are found; keys are the options of ``fstore proposals``."""

    dataset: str
    method: str = "selective-search"
    max_proposals: int | None = None
    split: str | None = None

    def command(self, store: Path | None) -> str:
        """Return the command that finds them in a store."""
        return commands.proposals(
            store,
            dataset=self.dataset,
            method=self.method,
            max_proposals=self.max_proposals,
            part=self.split,
        )


@dataclass(frozen=True, slots=True)
class MakeCheckpoint:
    """A file of weights to import; ``file`` and ``mean`` are relative to the folder of data."""

    name: str
    file: str
    mean: str | None = None
    iteration: int | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class MakePretrain:
    """A network to train from initial weights; ``changes`` are those to its recipe."""

    dataset: str
    iterations: int
    snapshots: tuple[int, ...]
    seed: int = 0
    split_seed: int = 0
    name_prefix: str = ""
    changes: Pairs = ()

    @property
    def ckpts(self) -> tuple[str, ...]:
        """The names of the checkpoints that it makes."""
        return tuple(self.name_prefix + snapshot_name(i) for i in self.snapshots)


@dataclass(frozen=True, slots=True)
class MakeFinetune:
    """How the study's tuned checkpoints of a task are made, in some modes.

    ``trainval``: learning from the parts train and val, as the SVMs do, so that what is measured
    on the way is measured on test; else from train alone, measured on val.
    """

    task: str
    iterations: int
    modes: tuple[str, ...] = MODES
    trainval: bool = True
    changes: Pairs = ()


@dataclass(frozen=True, slots=True)
class Making:
    """All that a study file says of how to make things; what it leaves out must be there."""

    datasets: tuple[MakeDataset, ...] = ()
    proposals: tuple[MakeProposals, ...] = ()
    checkpoints: tuple[MakeCheckpoint, ...] = ()
    pretrain: tuple[MakePretrain, ...] = ()
    finetune: tuple[MakeFinetune, ...] = ()

    def recipe(self, task: str, mode: str) -> MakeFinetune | None:
        """Return how checkpoints of a task and mode are made, if the file says it."""
        fit = (m for m in self.finetune if m.task == task and mode in m.modes)
        return next(fit, None)

    def proposals_of(self, dataset: str) -> MakeProposals:
        """Return how proposals of a data set are found, as the file says it or else by default."""
        fit = (m for m in self.proposals if m.dataset == dataset)
        return next(fit, MakeProposals(dataset))


RECIPE = ("lr", "batch_size", "momentum", "weight_decay", "step", "gamma", "mirror", "amp")
"""Entries of a training recipe that a study file may change."""


def parse_making(value: object, where: str) -> Making:
    """Read the table ``make`` of a study file.

    Raises
    ------
    DataError
        A key is missing, unknown or of a wrong type (which one is named).
    """
    given = tables(value, where, "datasets, proposals, checkpoints, pretrain, finetune")
    check_keys(given[0], {f.name: False for f in fields(Making)}, where)
    found = {
        key: tuple(_entry(key, t, f"{where}.{key}") for t in tables(v, f"{where}.{key}", "keys"))
        for key, v in given[0].items()
    }
    making = Making(**found)
    pairs = [(m.task, mode) for m in making.finetune for mode in m.modes]
    if twice := [pair for pair in pairs if pairs.count(pair) > 1]:
        task, mode = twice[0]
        raise DataError(f"{where}.finetune: mode {mode} of task '{task}' is there twice")
    searched = [m.dataset for m in making.proposals]
    if again := [name for name in searched if searched.count(name) > 1]:
        raise DataError(f"{where}.proposals: data set '{again[0]}' is there twice")
    return making


def _entry(key: str, table: Mapping[str, object], where: str) -> Any:  # noqa: ANN401 - of Making
    """Read one entry; keys that are not its own are options of others, where it takes any."""
    kind, rest, allowed = _ENTRIES[key]
    known = {f.name: f.default is MISSING for f in fields(kind) if f.name != rest}
    others = {k: v for k, v in table.items() if k not in known}
    taken = others if allowed is None else allowed
    check_keys(table, known | dict.fromkeys(taken, False), where)
    values = {k: _READERS.get(k, text)(v, f"{where}.{k}") for k, v in table.items() if k in known}
    if rest:
        values[rest] = tuple((k, _value(v, f"{where}.{k}")) for k, v in others.items())
    return kind(**values)


_ENTRIES: dict[str, tuple[Any, str, tuple[str, ...] | None]] = {
    "datasets": (MakeDataset, "options", None),
    "proposals": (MakeProposals, "", ()),
    "checkpoints": (MakeCheckpoint, "", ()),
    "pretrain": (MakePretrain, "changes", RECIPE),
    "finetune": (MakeFinetune, "changes", RECIPE),
}
"""Kind of entry; where keys go that are not its own, and which those may be (None: any)."""


def _modes(value: object, where: str) -> tuple[str, ...]:
    return tuple(one_of(mode, where, MODES) for mode in texts(value, where))


def _fractions(value: object, where: str) -> tuple[float, float, float]:
    if not isinstance(value, list) or len(value) != 3 or not all(type(v) is float for v in value):
        raise DataError(f"{where} must be three shares like [0.5, 0.1, 0.4], got {value!r}")
    train, val, test = value
    return train, val, test


def _value(value: object, where: str) -> Value:
    if not isinstance(value, (str, int, float)):  # bool is an int
        raise DataError(f"{where} must be a number, true, false or text in quotes, got {value!r}")
    return value


_READERS: dict[str, Reader] = {
    "seeds": seed_numbers,
    "fractions": _fractions,
    "iteration": whole_number,
    "iterations": whole_number,
    "max_proposals": whole_number,
    "snapshots": whole_numbers,
    "seed": seed_number,
    "split_seed": seed_number,
    "trainval": true_or_false,
    "task": lambda value, where: one_of(value, where, VIEWS),
    "modes": _modes,
}
