"""What a study file says of how its data sets and checkpoints are made from raw files."""

from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from msgspec import Meta

from fstore import commands
from fstore.errors import DataError
from fstore.names import snapshot_name
from fstore.queries.studies.tuned import MODES, Mode, Task
from fstore.toml_file import Seed, Seeds, Table, Text, WholeNumber, WholeNumbers

__all__ = [
    "MakeCheckpoint",
    "MakeDataset",
    "MakeFinetune",
    "MakePretrain",
    "MakeProposals",
    "Making",
    "RecipeChanges",
    "check_making",
    "gather_options",
]

Value: TypeAlias = str | int | float | bool
Pairs: TypeAlias = tuple[tuple[str, Value], ...]


class RecipeChanges(Table, frozen=True, kw_only=True):
    """Entries of a training recipe that a study file may change."""

    lr: int | float | None = None
    batch_size: WholeNumber | None = None
    momentum: int | float | None = None
    weight_decay: int | float | None = None
    step: WholeNumber | None = None
    gamma: int | float | None = None
    mirror: bool | None = None
    amp: Text | None = None

    @property
    def changes(self) -> Pairs:
        """Those that it changes, with their values."""
        values = ((name, getattr(self, name)) for name in RecipeChanges.__struct_fields__)
        return tuple((name, value) for name, value in values if value is not None)


class MakeDataset(Table, frozen=True):
    """A data set to register; ``root`` is relative to the folder of data, None if generated.

    ``options`` are those of its format and are checked by it.
    """

    name: Text
    format: Text
    root: Text | None = None
    seeds: Seeds = ()
    fractions: tuple[float, float, float] | None = None
    options: Pairs = ()


class MakeProposals(Table, frozen=True):
    """How proposals of a data set are found; keys are the options of ``fstore proposals``."""

    dataset: Text
    method: Text = "selective-search"
    max_proposals: WholeNumber | None = None
    split: Text | None = None

    def command(self, store: commands.Where) -> str:
        """Return the command that finds them in a store."""
        return commands.proposals(
            store,
            dataset=self.dataset,
            method=self.method,
            max_proposals=self.max_proposals,
            part=self.split,
        )


class MakeCheckpoint(Table, frozen=True):
    """A file of weights to import; ``file`` and ``mean`` are relative to the folder of data."""

    name: Text
    file: Text
    mean: Text | None = None
    iteration: WholeNumber | None = None
    parent: Text | None = None


class MakePretrain(RecipeChanges, frozen=True):
    """A network to train from initial weights, with changes to its recipe."""

    dataset: Text
    iterations: WholeNumber
    snapshots: WholeNumbers
    seed: Seed = 0
    split_seed: Seed = 0
    name_prefix: Text = ""

    @property
    def ckpts(self) -> tuple[str, ...]:
        """The names of the checkpoints that it makes."""
        return tuple(self.name_prefix + snapshot_name(i) for i in self.snapshots)


class MakeFinetune(RecipeChanges, frozen=True):
    """How the study's tuned checkpoints of a task are made, in some modes.

    ``trainval``: learning from the parts train and val, as the SVMs do, so that what is measured
    on the way is measured on test; else from train alone, measured on val.
    """

    task: Task
    iterations: WholeNumber
    modes: Annotated[tuple[Mode, ...], Meta(min_length=1)] = MODES
    trainval: bool = True


class Making(Table, frozen=True):
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


def gather_options(table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return a table of ``make.datasets`` with the keys that are its format's own in ``options``.

    Raises
    ------
    DataError
        One of them is neither a number nor true, false or text.
    """
    own = set(MakeDataset.__struct_fields__) - {"options"}
    options = [(key, value) for key, value in table.items() if key not in own]
    for key, value in options:
        if not isinstance(value, Value):
            raise DataError(
                f"{where}.{key} must be a number, true, false or text in quotes, got {value!r}"
            )
    return {key: value for key, value in table.items() if key in own} | {"options": options}


def check_making(making: Making, where: str) -> None:
    """Refuse two ways to make one thing.

    Raises
    ------
    DataError
    """
    pairs = [(m.task, mode) for m in making.finetune for mode in m.modes]
    if twice := [pair for pair in pairs if pairs.count(pair) > 1]:
        task, mode = twice[0]
        raise DataError(f"{where}.finetune: mode {mode} of task '{task}' is there twice")
    searched = [m.dataset for m in making.proposals]
    if again := [name for name in searched if searched.count(name) > 1]:
        raise DataError(f"{where}.proposals: data set '{again[0]}' is there twice")
