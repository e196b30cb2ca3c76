"""How many samples a registered data set has: by view, class and part."""

from typing import TYPE_CHECKING, Any

from fstore.errors import UnknownNameError

if TYPE_CHECKING:
    import pyarrow as pa

    from fstore.store import Store
    from fstore.store.parts import Split

__all__ = ["COUNT_COLUMNS", "dataset_counts"]

COUNT_COLUMNS = ("view", "class", "samples", "difficult", "split", "seed", "train", "val", "test")


def dataset_counts(
    store: "Store", dataset: str, *, split: "Split | None" = None
) -> list[dict[str, Any]]:
    """Count the samples of a data set, one row a view and class; class ``None`` is all.

    Parameters
    ----------
    store : Store
    dataset : str
    split : Split or None
        Which split ``train``, ``val`` and ``test`` count; None: that of
        :func:`fstore.store.parts.default_split`. Without any split these are ``None``.

    Returns
    -------
    list of dict
        Keys :data:`COUNT_COLUMNS`. ``samples`` show the class (label 1), ``difficult`` show it
        only as difficult objects (label 0); the parts count label 1. In the row of all classes
        ``samples`` counts every sample, ``difficult`` those that are flagged so.

    Raises
    ------
    UnknownNameError
        No such data set, or no such split of it; or it has several and none is named.
    """
    info = store.dataset(dataset)
    chosen = _chosen(store, dataset, split)
    rows: list[dict[str, Any]] = []
    for view in info.views:
        splits = store.splits(dataset, view)
        key = {"view": view, "split": chosen and chosen.name, "seed": chosen and chosen.seed}
        parts = _parts(splits, chosen)
        rows.append({**key, "class": None, **_count_all(store.samples(dataset, view), parts)})
        labels = store.labels(dataset, view)
        rows += [{**key, "class": c, **_count_class(labels, c, parts)} for c in info.classes]
    return rows


def _chosen(store: "Store", dataset: str, split: "Split | None") -> "Split | None":
    """Return the split to count by; None if there is none and none is asked."""
    from fstore.store.parts import default_split, splits_of

    own = splits_of(store, dataset)
    if split is not None and split not in own:
        raise UnknownNameError(
            f"data set '{dataset}' has no split '{split}'; it has: "
            + (", ".join(map(str, own)) or "none")
        )
    return split or (default_split(store, [dataset]) if own else None)


def _parts(splits: "pa.Table", chosen: "Split | None") -> dict[str, set[int]]:
    """Return part -> sample ids of one split."""
    import pyarrow.compute as pc

    if chosen is None:
        return {}
    mask = pc.and_(pc.equal(splits["split"], chosen.name), pc.equal(splits["seed"], chosen.seed))
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
