"""A study: which data sets and checkpoints of a store play which part in the reports."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from msgspec.structs import replace

from fstore import commands
from fstore.errors import DataError, UnknownNameError
from fstore.names import check_storable
from fstore.queries.studies.bound import Bound
from fstore.queries.studies.making import Making, check_making, gather_options
from fstore.queries.studies.own import OwnReport, check_own
from fstore.queries.studies.tuned import Tuned, name_tuned
from fstore.toml_file import Table, Text, Texts, WholeNumbers, parse_toml, typed

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = [
    "ROLES",
    "Study",
    "UnboundError",
    "keep_study",
    "load_study",
    "not_current",
    "parse_study",
    "set_study",
    "study_rows",
    "unknown_names",
]


class UnboundError(DataError):
    """A study binds no such part: a report that needs it is left out."""


class Study(Table, frozen=True):
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
    report : tuple of OwnReport
        Reports of its own, beside the paper's.
    """

    name: Text
    network: Text
    layers: Texts
    mid_layer: Text | None = None
    top_layer: Text | None = None
    detection_layer: Text | None = None
    seeds: WholeNumbers = (0,)
    pretrain: tuple[Bound, ...] = ()
    classification: tuple[Bound, ...] = ()
    detection: tuple[Bound, ...] = ()
    detection_more: tuple[Bound, ...] = ()
    scenes: tuple[Bound, ...] = ()
    sweep: Texts = ()
    pretrained: Text | None = None
    finetuned: Text | None = None
    tuned: tuple[Tuned, ...] = ()
    make: Making = Making()
    report: tuple[OwnReport, ...] = ()

    def checkpoint(self, role: str) -> str:
        """Return the checkpoint that plays a part.

        Raises
        ------
        UnboundError
            The study binds none.
        """
        return str(self._part(role, f'{role} = "NAME"'))

    def checkpoints(self, role: str) -> tuple[str, ...]:
        """Return the checkpoints that play a part, in order.

        Raises
        ------
        UnboundError
            The study binds none.
        """
        return tuple(self._part(role, f'{role} = ["FIRST", "LAST"]'))

    def layer(self, role: str) -> str:
        """Return the layer that plays a part: ``mid_layer`` or ``top_layer``.

        Raises
        ------
        UnboundError
            The study binds none.
        """
        return str(self._part(role, f'{role} = "NAME"'))

    def bound(self, role: str) -> tuple[Bound, ...]:
        """Return the data sets that play a part.

        Raises
        ------
        UnboundError
            The study binds none.
        """
        return tuple(self._part(role, f'[{role}] with dataset = "NAME"'))

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
        learned = tuple(task for task in tasks if any(t.task == task for t in self.tuned))
        if not learned:
            line = '[[tuned]] with task = "scenes", mode = "ft", parent = "NAME"'
            self._refuse("tuned", line)
        return learned

    def _part(self, role: str, line: str) -> Any:  # noqa: ANN401 - a name, or several things
        """Return what plays a part; ``line`` would bind it."""
        return getattr(self, role) or self._refuse(role, line)

    def _refuse(self, role: str, line: str) -> NoReturn:
        raise UnboundError(
            f"study '{self.name}' says nothing of '{role}', which this report needs; "
            f"add {line} to its file"
        )


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
    written = parse_toml(toml, source)
    tables = _tables(written, source)
    study = typed(tables, Study, source, written=written)
    for role in ROLES:
        if role in written:
            bounds = _with_seeds(getattr(study, role), tables[role], study.seeds)
            _check_parts(bounds, f"{source}: {role}")
            study = replace(study, **{role: bounds})
    study = replace(study, tuned=tuple(_tuned(study, written, source)))
    check_making(study.make, f"{source}: make")
    _check_finetuning(study, source)
    check_own(study.report, source)
    return study


def _tables(written: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Return what a file says as :class:`Study` has it: a table alone is a list of one."""
    tables = _listed(written, (*ROLES, "tuned", "report"))
    if not isinstance(make := written.get("make"), dict):
        return tables
    tables["make"] = _listed(make, Making.__struct_fields__)
    if isinstance(datasets := tables["make"].get("datasets"), list):
        places = _places(make["datasets"], f"{source}: make.datasets")
        tables["make"]["datasets"] = [
            gather_options(table, where) if isinstance(table, dict) else table
            for table, where in zip(datasets, places, strict=True)
        ]
    return tables


def _listed(written: Mapping[str, Any], keys: Sequence[str]) -> dict[str, Any]:
    return {k: [v] if k in keys and isinstance(v, dict) else v for k, v in written.items()}


def _places(written: object, where: str) -> list[str]:
    """Name each table of a list for messages; one that stands alone has no number."""
    if isinstance(written, list):
        return [f"{where}[{index}]" for index in range(len(written))]
    return [where]


def _with_seeds(
    bounds: Sequence[Bound], tables: Sequence[Mapping[str, object]], seeds: tuple[int, ...]
) -> tuple[Bound, ...]:
    """Return data sets, those with a split other than the official that name no seeds with some."""
    return tuple(
        bound if "seeds" in table or bound.split == "official" else replace(bound, seeds=seeds)
        for bound, table in zip(bounds, tables, strict=True)
    )


def _tuned(study: Study, written: Mapping[str, Any], source: str) -> Iterator[Tuned]:
    """Yield the entries ``tuned`` with the names of their checkpoints; none is there twice."""
    bounds = {role: getattr(study, role) for role in ROLES}
    places = _places(written.get("tuned", []), f"{source}: tuned")
    seen = set()
    for entry, where in zip(study.tuned, places, strict=True):
        yield name_tuned(entry, where, bounds)
        if (key := (entry.task, entry.mode, entry.parent)) in seen:
            raise DataError(f"{where}: {entry.mode} of task '{entry.task}' is there twice")
        seen.add(key)


def _check_finetuning(study: Study, source: str) -> None:
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
        As :func:`parse_study`; its name cannot be stored.
    """
    study = parse_study(toml, source=source)
    keep_study(store, study, toml)
    return study


def keep_study(store: "Store", study: Study, toml: str) -> None:
    """Make a study, and the text that it was read from, the store's current one.

    Raises
    ------
    DataError
        Its name cannot be stored.
    """
    from fstore.store.locks import naming

    check_storable(study.name, "study")
    with naming(store.place):
        earlier = store.rows("studies")["set_at"].to_pylist()
        # later than every other, whatever the clock says
        now = max([datetime.now(UTC), *(t + timedelta(microseconds=1) for t in earlier)])
        store.append("studies", [{"name": study.name, "toml": toml, "set_at": now}])


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
        raise UnknownNameError(f"no study is set; set one with: {commands.study_set(store.place)}")
    names = ", ".join(sorted({row["name"] for row in rows})) or "none yet"
    raise UnknownNameError(f"no study '{name}' is set; there are: {names}")


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
    for role in study.__struct_fields__:
        value = getattr(study, role)
        if value in (None, ()) or role == "make":
            continue
        if isinstance(value, tuple):
            value = [v if isinstance(v, int) else str(v) for v in value]
        rows.append({"role": role, "value": value})
    return rows


def unknown_names(store: "Store", study: Study) -> list[str]:
    """Return a line for each name of a study that the store does not have (yet)."""
    lines = []
    datasets = {d.name for d in store.datasets()}
    for role in ROLES:
        for bound in getattr(study, role):
            if bound.dataset not in datasets:
                lines.append(f"{role}: no data set '{bound.dataset}' is registered")
            else:
                lines += [f"{role}: {line}" for line in _unknown_splits(store, bound)]
    ckpts = {r.name for r in store.checkpoints(study.network)}
    tuned = [name for entry in study.tuned for name in entry.ckpts]
    wanted = dict.fromkeys((*study.sweep, study.pretrained, study.finetuned, *tuned))
    absent = [name for name in wanted if name is not None and name not in ckpts]
    if absent:
        lines.append(f"network '{study.network}' has no checkpoint {', '.join(absent)}")
    layers = {row["layer"] for row in store.rows("layers", network=study.network).to_pylist()}
    layers_of_parts = (study.mid_layer, study.top_layer, study.detection_layer)
    named = dict.fromkeys((*study.layers, *layers_of_parts))
    if strange := [n for n in named if layers and n is not None and n not in layers]:
        lines.append(f"network '{study.network}' has no layer {', '.join(strange)} on record")
    return lines


def _unknown_splits(store: "Store", bound: Bound) -> list[str]:
    from fstore.store.parts import Split, splits_of

    own = splits_of(store, bound.dataset)
    return [
        f"data set '{bound.dataset}' has no {bound.split} split with seed {seed}"
        for seed in bound.seeds
        if Split(bound.split, seed) not in own
    ]


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
