"""Two data sets whose samples are the same images in the same order, as of a blurred copy."""

from typing import TYPE_CHECKING, Any

from fstore.errors import DataError

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["check_same_images"]


def check_same_images(store: "Store", view: str, datasets: tuple[str, str]) -> None:
    """Refuse two data sets whose samples are not those of the same images, one by one.

    All have the same names, or all the same content. Where samples are boxes, these are the same
    too.

    Parameters
    ----------
    store : Store
    view : str
    datasets : tuple of str
        The two.

    Raises
    ------
    UnknownNameError
        One of them is not registered.
    DataError
        Says what differs: how many samples there are, or which is the first that differs.
    """
    first, second = datasets
    a, b = (_samples(store, name, view) for name in datasets)
    if len(a) != len(b):
        raise DataError(
            f"data sets '{first}' and '{second}' have {len(a):,} and {len(b):,} samples of view "
            f"'{view}'; comparing them needs the same images in the same order"
        )
    pairs = list(zip(a, b, strict=True))
    by_name = [_differ(x, y, "image_id") for x, y in pairs]
    by_content = [_differ(x, y, "digest") for x, y in pairs]
    differs = min((by_name, by_content), key=sum)
    if any(differs):
        at = differs.index(True)
        x, y = pairs[at]
        raise DataError(
            f"data sets '{first}' and '{second}' differ in {sum(differs):,} of {len(pairs):,} "
            f"samples of view '{view}', first in sample {x['sample_id']}: {_shown(x)} and "
            f"{_shown(y)}; comparing them needs the same images in the same order"
        )


def _samples(store: "Store", dataset: str, view: str) -> list[dict[str, Any]]:
    store.dataset(dataset)  # or an error that lists them
    table = store.samples(dataset, view, ["sample_id", "image_id", "digest", "box"])
    rows: list[dict[str, Any]] = table.sort_by("sample_id").to_pylist()
    return rows


def _differ(x: dict[str, Any], y: dict[str, Any], key: str) -> bool:
    return any(x[name] != y[name] for name in ("sample_id", key, "box"))


def _shown(sample: dict[str, Any]) -> str:
    box = sample["box"]
    return f"'{sample['image_id']}'" + (f" box {tuple(box.values())}" if box else "")
