"""How many samples a registered data set has: by view, class and part."""

from typing import TYPE_CHECKING, Any

from fstore.errors import UnknownNameError

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.store import Store

__all__ = ["COUNT_COLUMNS", "dataset_counts"]

COUNT_COLUMNS = ("view", "class", "samples", "difficult", "split", "seed", "train", "val", "test")


def dataset_counts(
    store: "Store", dataset: str, *, split: str = "", seed: int | None = None
) -> list[dict[str, Any]]:
    """Count the samples of a data set, one row a view and class; class ``None`` is all.

    Parameters
    ----------
    store : Store
    dataset : str
    split, seed : str, int or None
        Which split ``train``, ``val`` and ``test`` count; the first that fits, official before
        random. Without any split these are ``None``.

    Returns
    -------
    list of dict
        Keys :data:`COUNT_COLUMNS`. ``samples`` show the class (label 1), ``difficult`` show it
        only as difficult objects (label 0); the parts count label 1. In the row of all classes
        ``samples`` counts every sample, ``difficult`` those that are flagged so.

    Raises
    ------
    UnknownNameError
        No such data set, or no such split of it.
    """
    found = store.dataset(dataset)
    rows: list[dict[str, Any]] = []
    for view in found.views:
        splits = store.splits(dataset, view)
        chosen = _choose(splits, split, seed, dataset)
        key = {"view": view, "split": chosen[0], "seed": chosen[1]}
        parts = _parts(splits, chosen)
        rows.append({**key, "class": None, **_count_all(store.samples(dataset, view), parts)})
        labels = store.labels(dataset, view)
        rows += [{**key, "class": c, **_count_class(labels, c, parts)} for c in found.classes]
    return rows


def _choose(
    splits: "pa.Table", split: str, seed: int | None, dataset: str
) -> tuple[str | None, int | None]:
    """Return name and seed of the wanted split; (None, None) if there is none and none is asked."""
    there = sorted(
        {(r["split"], r["seed"]) for r in _distinct(splits)}, key=lambda x: (x[0] != "official", x)
    )
    fit = [s for s in there if split in {"", s[0]} and seed in {None, s[1]}]
    if fit:
        return fit[0]
    if split or seed is not None:
        known = ", ".join(f"{name} (seed {number})" for name, number in there) or "none"
        asked = (f" {split!r}" if split else "") + (
            f" with seed {seed}" if seed is not None else ""
        )
        raise UnknownNameError(f"no split{asked} of data set {dataset!r}; there are: {known}")
    return None, None


def _distinct(splits: "pa.Table") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = splits.group_by(["split", "seed"]).aggregate([]).to_pylist()
    return rows


def _parts(splits: "pa.Table", chosen: tuple[str | None, int | None]) -> dict[str, set[int]]:
    """Return part -> sample ids of one split."""
    import pyarrow.compute as pc

    if chosen[0] is None:
        return {}
    mask = pc.and_(pc.equal(splits["split"], chosen[0]), pc.equal(splits["seed"], chosen[1]))
    mine = splits.filter(mask)
    ids, names = mine["sample_id"].to_pylist(), mine["part"].to_pylist()
    parts: dict[str, set[int]] = {"train": set(), "val": set(), "test": set()}
    for sample, name in zip(ids, names, strict=True):
        parts[name].add(sample)
    return parts


def _count_all(samples: "pa.Table", parts: dict[str, set[int]]) -> dict[str, int]:
    difficult = sum(bool(flag) for flag in samples["difficult"].to_pylist())
    sizes = {part: len(ids) for part, ids in parts.items()}
    return {"samples": samples.num_rows, "difficult": difficult, **sizes}


def _count_class(labels: "pa.Table", name: str, parts: dict[str, set[int]]) -> dict[str, int]:
    import pyarrow.compute as pc

    mine = labels.filter(pc.equal(labels["class"], name))
    shown = set(mine.filter(pc.equal(mine["label"], 1))["sample_id"].to_pylist())
    sizes = {part: len(ids & shown) for part, ids in parts.items()}
    return {"samples": len(shown), "difficult": mine.num_rows - len(shown), **sizes}
