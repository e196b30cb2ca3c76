"""A study: which data sets and checkpoints of a store play which part in the reports."""

import tomllib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from fstore import commands
from fstore.errors import DataError, UnknownNameError
from fstore.names import check_storable
from fstore.queries.studies.bound import Bound
from fstore.queries.studies.making import Making, parse_making
from fstore.queries.studies.toml_values import (
    check_keys,
    one_of,
    tables,
    text,
    texts,
    whole_numbers,
)
from fstore.queries.studies.tuned import Tuned, parse_tuned
from fstore.types import PARTS

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "Study",
    "UnboundError",
    "load_study",
    "not_current",
    "parse_study",
    "set_study",
    "study_rows",
    "unknown_names",
]


class UnboundError(DataError):
    """A study binds no such part: a report that needs it is left out."""


@dataclass(frozen=True, slots=True)
class Study:
    """The parts that reports need, bound to names in a store.

    Attributes
    ----------
    name : str
        What reports are filed under.
    network : str
        The network whose responses are studied.
    layers : tuple of str
        Its layers, in order of depth.
    mid_layer, top_layer : str or None
        The layer whose single filters are studied (conv5 in the paper), and the one whose
        features represent the network (fc7).
    detection_layer : str or None
        The layer whose features detectors of Table 8 see; None: ``mid_layer``.
    seeds : tuple of int
        Of random splits that name none of their own, and of repeated runs.
    pretrain, classification, detection, detection_more, scenes : tuples of Bound
        ImageNet, PASCAL-CLS, PASCAL-DET, PASCAL-DET+DATA and SUN-CLS in the paper; several data
        sets of one part count as one set of samples. Empty: the study has none.
    sweep : tuple of str
        Checkpoints along pre-training, in order.
    pretrained, finetuned : str or None
        The checkpoints that are compared.
    tuned : tuple of Tuned
        Checkpoints that were fine-tuned for a task, one for each run of it (Tables 1, 2, 4).
    make : Making
        How data sets and checkpoints are made from raw files; empty: they must be there.
    """

    name: str
    network: str
    layers: tuple[str, ...]
    mid_layer: str | None = None
    top_layer: str | None = None
    detection_layer: str | None = None
    seeds: tuple[int, ...] = (0,)
    pretrain: tuple[Bound, ...] = ()
    classification: tuple[Bound, ...] = ()
    detection: tuple[Bound, ...] = ()
    detection_more: tuple[Bound, ...] = ()
    scenes: tuple[Bound, ...] = ()
    sweep: tuple[str, ...] = ()
    pretrained: str | None = None
    finetuned: str | None = None
    tuned: tuple[Tuned, ...] = ()
    make: Making = field(default_factory=Making)

    def checkpoint(self, role: str) -> str:
        """Return the checkpoint that plays a part.

        Raises
        ------
        UnboundError
            The study binds none.
        """
        name: str | None = getattr(self, role)
        if name is None:
            raise UnboundError(self._unbound(role, f'{role} = "NAME"'))
        return name

    def checkpoints(self, role: str) -> tuple[str, ...]:
        """Return the checkpoints that play a part, in order.

        Raises
        ------
        UnboundError
            The study binds none.
        """
        names: tuple[str, ...] = getattr(self, role)
        if not names:
            raise UnboundError(self._unbound(role, f'{role} = ["FIRST", "LAST"]'))
        return names

    def layer(self, role: str) -> str:
        """Return the layer that plays a part: ``mid_layer`` or ``top_layer``.

        Raises
        ------
        UnboundError
            The study binds none.
        """
        name: str | None = getattr(self, role)
        if name is None:
            raise UnboundError(self._unbound(role, f'{role} = "NAME"'))
        return name

    def bound(self, role: str) -> tuple[Bound, ...]:
        """Return the data sets that play a part.

        Raises
        ------
        UnboundError
            The study binds none.
        """
        found: tuple[Bound, ...] = getattr(self, role)
        if not found:
            raise UnboundError(self._unbound(role, f'[{role}] with dataset = "NAME"'))
        return found

    def tuned_for(self, task: str, mode: str, parent: str | None = None) -> Tuned | None:
        """Return the checkpoints that were tuned for a task in a mode, if the study binds them."""
        fit = (t for t in self.tuned if (t.task, t.mode, t.parent) == (task, mode, parent))
        return next(fit, None)

    def tuned_tasks(self, tasks: Iterable[str]) -> tuple[str, ...]:
        """Return those of some tasks that checkpoints were tuned for.

        Raises
        ------
        UnboundError
            None was.
        """
        found = tuple(task for task in tasks if any(t.task == task for t in self.tuned))
        if not found:
            line = '[[tuned]] with task = "scenes", mode = "ft", parent = "NAME"'
            raise UnboundError(self._unbound("tuned", line))
        return found

    def _unbound(self, role: str, line: str) -> str:
        return (
            f"study '{self.name}' says nothing of '{role}', which this report needs; "
            f"add {line} to its file"
        )


NAMES = ("mid_layer", "top_layer", "detection_layer", "pretrained", "finetuned")
"""Parts that a single layer or checkpoint plays."""

ROLES = ("pretrain", "classification", "detection", "detection_more", "scenes")
"""Parts that data sets play."""


def parse_study(toml: str, *, source: str = "study") -> Study:
    """Read a study from TOML.

    Parameters
    ----------
    toml : str
        See ``docs/studies.md``.
    source : str
        Name of the file, for messages.

    Raises
    ------
    DataError
        No TOML; a key is missing, unknown, or of a wrong type (which one is named).
    """
    try:
        given = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"{source} is not TOML: {error}") from error
    check_keys(given, _keys(Study), source)
    seeds = whole_numbers(given.get("seeds", [0]), f"{source}: seeds")
    there = [role for role in ROLES if role in given]
    bounds = {role: _bounds(given[role], f"{source}: {role}", seeds) for role in there}
    read: dict[str, Callable[[object, str], object]] = {
        **dict.fromkeys((*NAMES, "name", "network"), text),
        **dict.fromkeys(("layers", "sweep"), texts),
        "seeds": whole_numbers,
        "tuned": lambda value, where: parse_tuned(value, where, bounds),
        "make": parse_making,
    }
    others = {k: v for k, v in given.items() if k not in bounds}
    values: dict[str, Any] = {k: read[k](v, f"{source}: {k}") for k, v in others.items()}
    study = Study(**(values | bounds))
    _check_making(study, source)
    return study


def _check_making(study: Study, source: str) -> None:
    """Refuse a recipe for checkpoints that the study does not have."""
    for recipe in study.make.finetune:
        if not any(t.task == recipe.task and t.mode in recipe.modes for t in study.tuned):
            raise DataError(
                f"{source}: make.finetune: 'tuned' has no checkpoint of task '{recipe.task}', "
                f"mode {' or '.join(recipe.modes)}, to make"
            )


def set_study(store: "Store", toml: str, *, source: str = "study") -> Study:
    """Check a study's TOML and make it the store's current one.

    Raises
    ------
    DataError
        As :func:`parse_study`.
    """
    from fstore.store.locks import naming

    study = parse_study(toml, source=source)
    check_storable(study.name, "study")
    with naming(store.path):
        known = store.rows("studies")["set_at"].to_pylist()
        # later than every other, whatever the clock says
        now = max([datetime.now(UTC), *(t + timedelta(microseconds=1) for t in known)])
        store.append("studies", [{"name": study.name, "toml": toml, "set_at": now}])
    return study


def study_text(store: "Store", name: str | None = None) -> str:
    """Return the TOML of the study that was set last, or last under a name.

    Raises
    ------
    UnknownNameError
        There is none.
    """
    rows = sorted(store.rows("studies").to_pylist(), key=lambda row: row["set_at"])
    fit = [row["toml"] for row in rows if name in (None, row["name"])]
    if fit:
        return str(fit[-1])
    if name is None:
        raise UnknownNameError(f"no study is set; set one with: {commands.study_set(store.path)}")
    known = ", ".join(sorted({row["name"] for row in rows})) or "none yet"
    raise UnknownNameError(f"no study '{name}' is set; there are: {known}")


def not_current(store: "Store", name: str) -> str | None:
    """Return a study's name where a command must say it: another one was set last, or none."""
    rows = sorted(store.rows("studies").to_pylist(), key=lambda row: row["set_at"])
    return None if rows and rows[-1]["name"] == name else name


def load_study(store: "Store", name: str | None = None) -> Study:
    """Return the study that was set last, or last under a name.

    Raises
    ------
    UnknownNameError
        There is none.
    """
    return parse_study(study_text(store, name))


def study_rows(study: Study) -> list[dict[str, object]]:
    """Return a study as rows of ``role`` and ``value``, parts that are not bound left out.

    So is ``make``: it is no part that reports see.
    """
    rows: list[dict[str, object]] = []
    for part in fields(study):
        value = getattr(study, part.name)
        if value in (None, ()) or part.name == "make":
            continue
        if isinstance(value, tuple):
            value = [v if isinstance(v, int) else str(v) for v in value]
        rows.append({"role": part.name, "value": value})
    return rows


def unknown_names(store: "Store", study: Study) -> list[str]:
    """Return a line for each name of a study that the store does not have (yet)."""
    lines = []
    known = {d.name for d in store.datasets()}
    for role in ROLES:
        for bound in getattr(study, role):
            if bound.dataset not in known:
                lines.append(f"{role}: no data set '{bound.dataset}' is registered")
            else:
                lines += [f"{role}: {line}" for line in _unknown_splits(store, bound)]
    there = {r.name for r in store.checkpoints(study.network)}
    tuned = [name for entry in study.tuned for name in entry.ckpts]
    wanted = dict.fromkeys((*study.sweep, study.pretrained, study.finetuned, *tuned))
    absent = [name for name in wanted if name is not None and name not in there]
    if absent:
        lines.append(f"network '{study.network}' has no checkpoint {', '.join(absent)}")
    layers = {row["layer"] for row in store.rows("layers", network=study.network).to_pylist()}
    layers_of_parts = (study.mid_layer, study.top_layer, study.detection_layer)
    named = dict.fromkeys((*study.layers, *layers_of_parts))
    if strange := [n for n in named if layers and n is not None and n not in layers]:
        lines.append(f"network '{study.network}' has no layer {', '.join(strange)} on record")
    return lines


def _unknown_splits(store: "Store", bound: Bound) -> list[str]:
    import pyarrow.compute as pc

    rows = store.rows("splits", dataset=bound.dataset)
    mine = rows.filter(pc.equal(rows["split"], bound.split))
    seeds = set(mine["seed"].to_pylist())
    return [
        f"data set '{bound.dataset}' has no {bound.split} split with seed {seed}"
        for seed in bound.seeds
        if seed not in seeds
    ]


def _keys(kind: type[Study] | type[Bound]) -> dict[str, bool]:
    """Return the keys of a table and whether it needs them."""
    return {f.name: f.default is f.default_factory for f in fields(kind)}  # MISSING both


def _bounds(value: object, where: str, seeds: tuple[int, ...]) -> tuple[Bound, ...]:
    """Read one table, or a list of them."""
    found = []
    for table in tables(value, where, "dataset, split, seeds, parts"):
        check_keys(table, _keys(Bound), where)
        split = text(table.get("split", "official"), f"{where}.split")
        default = [0] if split == "official" else list(seeds)
        own = whole_numbers(table.get("seeds", default), f"{where}.seeds")
        parts = texts(table["parts"], f"{where}.parts") if "parts" in table else ()
        parts = tuple(one_of(part, f"{where}.parts", PARTS) for part in parts)
        found.append(Bound(text(table["dataset"], f"{where}.dataset"), split, own, parts))
    _check_parts(found, where)
    return tuple(found)


def _check_parts(bounds: Sequence[Bound], where: str) -> None:
    """Refuse a data set named twice, and none that gives a part to learn from, or to test on."""
    for name, n in Counter(bound.dataset for bound in bounds).items():
        if n > 1:
            raise DataError(
                f"{where}: data set '{name}' is named {n} times; one part takes it once, or what "
                "one split of it tests on another would learn from"
            )
    for needed in (("train",), ("test", "val")):
        if not any(bound.uses(part) for bound in bounds for part in needed):
            raise DataError(f"{where}.parts: no data set gives its part {' or '.join(needed)}")
