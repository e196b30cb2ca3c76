"""Which names of a store a recipe is asked with: those that are given, else some that it has."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from fstore.errors import UnknownNameError
from fstore.explore.recipe import Recipe, filled
from fstore.store.files import Partition

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["asked_of_store"]

COLUMNS = ("network", "view", "dataset", "layer", "ckpt")
"""Parts of a partition that are asked for by name, in the order in which they are looked up."""

BESIDE = ("network", "view")
"""Those that a recipe is asked for beside a checkpoint, where the store has several that fit."""

WORDS = {
    "ckpt": "checkpoint",
    "dataset": "data set",
    **{n: n for n in ("network", "view", "layer")},
}

SHOWN = 20
"""Names that an error lists."""


def asked_of_store(
    store: "Store", asked: Recipe, given: Mapping[str, str]
) -> tuple[str, dict[str, str]]:
    """Return a recipe's statement with names of a store, and which names these are.

    Parameters
    ----------
    store : Store
    asked : Recipe
    given : mapping
        Values by name of the field; also ``network`` and ``view``. What is not given is the
        recipe's own name, if the store has it, else the first that goes with what is given.

    Raises
    ------
    UnknownNameError
        The recipe has no such field, or the store no such name: the message has those that it has.
    """
    fields = {field.name: field.value for field in asked.fields}
    beside = [
        n for n in BESIDE if "ckpt" in fields and not (n == "view" and '"view" =' in asked.text)
    ]
    known = [*fields, *beside]
    if strange := next((name for name in given if name not in known), None):
        raise UnknownNameError(
            f"recipe '{asked.name}' has no parameter '{strange}'; it has: {', '.join(known)}"
        )
    if "ckpt" not in fields and "partitions" not in asked.text:
        names = [info.name for info in store.datasets() if "gt" in info.views]
        values = {
            "dataset": _one_of(
                "data set with boxes", names, given.get("dataset"), fields["dataset"]
            )
        }
        return filled(asked, values), values
    stored = [Partition(**{c: row[c] for c in COLUMNS}) for row in store.status()]
    place, other = _place(_of_view(stored, asked), fields, given)
    values = {name: place.values[name] for name in fields if name in COLUMNS}
    values |= {"ckpt2": other} if "ckpt2" in fields else {}
    values |= _of_place(store, place, fields, given)
    same = [p for p in stored if all(p.values[n] == v for n, v in values.items() if n in COLUMNS)]
    also = {
        n: place.values[n] for n in beside if n in given or len({p.values[n] for p in same}) > 1
    }
    return filled(asked, values, beside=also), {**values, **also}


def _of_view(stored: list[Partition], asked: Recipe) -> list[Partition]:
    """Return the partitions of the view that a recipe is of, if it says one."""
    views = [view for view in ("image", "gt", "proposal") if f"\"view\" = '{view}'" in asked.text]
    return [p for p in stored if not views or p.view in views]


def _place(
    stored: Sequence[Partition], own: Mapping[str, str], given: Mapping[str, str]
) -> tuple[Partition, str]:
    """Return the partition that is asked for, and the second checkpoint, if there is to be one."""
    there, told = list(stored), ""
    for name in COLUMNS:
        if name in given:
            stored_names = (p.values[name] for p in there)
            _one_of(WORDS[name], stored_names, given[name], among=f" with responses{told}")
            there = [p for p in there if p.values[name] == given[name]]
            told += f"{',' if told else ' of'} {WORDS[name]} '{given[name]}'"
    if not there:
        _one_of("responses", (), None)
    likely = sorted(there, key=lambda p: -sum(p.values[n] == own.get(n) for n in COLUMNS))
    if "ckpt2" not in own:
        return likely[0], ""
    for place in likely:
        others = [p.ckpt for p in stored if _beside(p, place) and p.ckpt != place.ckpt]
        if others and given.get("ckpt2", others[0]) in others:
            wanted = own["ckpt2"] if own["ckpt2"] in others else others[0]
            return place, given.get("ckpt2", wanted)
    others = [p.ckpt for p in stored if any(_beside(p, q) and p.ckpt != q.ckpt for q in there)]
    among = f" beside the first with the same layer{told}"
    _one_of("second checkpoint", others, given.get("ckpt2"), among=among)
    return likely[0], ""


def _beside(p: Partition, q: Partition) -> bool:
    """Whether two partitions are of the same layer and samples."""
    return all(p.values[name] == q.values[name] for name in COLUMNS if name != "ckpt")


def _of_place(
    store: "Store", place: Partition, own: Mapping[str, str], given: Mapping[str, str]
) -> dict[str, str]:
    """Return the filter and the image that are asked for, of those that a partition has."""
    from fstore.store.features import layer_shape, stored_samples

    values = {}
    if "channel" in own:
        filters = map(str, range(layer_shape(store, place).channels))
        among = f" in layer '{place.layer}'"
        values["channel"] = _one_of(
            "filter", filters, given.get("channel"), own["channel"], among=among
        )
    if "image_id" in own:
        table = store.samples(place.dataset, place.view, ["sample_id", "image_id"])
        ids = set(stored_samples(store, place).tolist())
        images = [row["image_id"] for row in table.to_pylist() if row["sample_id"] in ids]
        among = f" in data set '{place.dataset}' with responses of '{place.ckpt}'"
        values["image_id"] = _one_of(
            "image", images, given.get("image_id"), own["image_id"], among=among
        )
    return values


def _one_of(
    what: str, names: Iterable[str], given: str | None, own: str = "", *, among: str = ""
) -> str:
    """Return the name that is given, or the recipe's own, or the first that there is.

    ``what`` it names, ``among`` what: both are for the message.

    Raises
    ------
    UnknownNameError
        It is not there, or there is none.
    """
    there = list(dict.fromkeys(names))
    if given is not None and given not in there:
        listed = ", ".join(there[:SHOWN]) + (", ..." if len(there) > SHOWN else "")
        raise UnknownNameError(f"no {what} '{given}'{among}; there are: {listed or 'none'}")
    if not there:
        raise UnknownNameError(f"the store has no {what}{among}, which this recipe asks about")
    return given or (own if own in there else there[0])
