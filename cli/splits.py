"""Which split a command means where none is named."""

from typing import TYPE_CHECKING, Any

from fstore.cli.output import note
from fstore.errors import UnknownNameError

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["split_meant"]


def split_meant(
    ctx: Any,  # noqa: ANN401 - typer's own copy of click
    store: "Store",
    dataset: str,
    *,
    split: str,
    seed: int,
    seed_option: str = "seed",
) -> tuple[str, int]:
    """Return the split and seed that were asked for; else ``official``, else the only one there is.

    Raises
    ------
    UnknownNameError
        None was named, and the data set has no official one and several others, which are listed.
    """
    given = ctx.meta.get("fstore.given", ())
    if "split" in given:
        return split, seed
    try:
        info = store.dataset(dataset)
        rows = store.splits(dataset, next(iter(info.views))).select(["split", "seed"])
    except UnknownNameError:
        return split, seed  # whoever needs it says what is not there
    there = sorted({(r["split"], r["seed"]) for r in rows.to_pylist()})
    if not there or any(name == split for name, _ in there):
        return split, seed
    fit = [pair for pair in there if seed_option not in given or pair[1] == seed]
    if len(fit) == 1:
        if not ctx.obj["quiet"]:
            note(f"split {fit[0][0]}, seed {fit[0][1]}: the only one of data set '{dataset}'")
        return fit[0]
    flag = "--" + seed_option.replace("_", "-")
    options = "; or ".join(f"--split {name} {flag} {number}" for name, number in fit or there)
    raise UnknownNameError(
        f"data set '{dataset}' has no official split; add: {options}", dataset=dataset
    )
