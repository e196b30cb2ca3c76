"""Data sets into a store: read by their format, checked, registered."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError
from fstore.names import check_new_name
from fstore.seeds import check_seed

if TYPE_CHECKING:
    from fstore.extractor.datasets import Note, Progress
    from fstore.store import Store
    from fstore.types import DatasetManifest

__all__ = ["AddedDataset", "add_dataset", "check_format"]


@dataclass(frozen=True, slots=True)
class AddedDataset:
    """What was registered; ``new`` is False if the same content was there already."""

    manifest: "DatasetManifest"
    new: bool


def add_dataset(
    store: "Store",
    name: str,
    format: str,  # noqa: A002 - the word of the command line
    *,
    root: Path | None = None,
    seeds: Sequence[int] = (),
    fractions: tuple[float, float, float] | None = None,
    on_progress: "Progress | None" = None,
    on_note: "Note | None" = None,
    **options: Any,  # noqa: ANN401 - each format has its own
) -> AddedDataset:
    """Read a data set and register its samples, labels and splits in a store.

    Parameters
    ----------
    store : Store
    name : str
        Letters, digits and ``. _ + : -``; not registered yet, or with the same content.
    format : str
        The name of a registered format; ``fstore dataset add --help`` lists them.
    root : Path or None
        Folder of the images; formats that generate their images default to
        ``<store>/images/<name>``.
    seeds, fractions
        A stratified random split for each seed; shares of train, val and test (0.5, 0.1, 0.4).
    on_progress : callable or None
        Called with (files hashed, files in all).
    on_note : callable or None
        Called with a sentence for each thing that was left out of the data set.
    **options
        The format's own, as in ``docs/datasets.md``.

    Raises
    ------
    UnknownNameError
        No such format.
    DataError
        The folder does not hold such a data set, or the format has no such option.
    IdentityError
        The name is registered with other content.
    """
    from fstore.extractor.datasets import FORMATS

    check_new_name(name, "data set")
    entry = FORMATS[format]
    check_format(format, options)
    for seed in seeds:
        check_seed(seed, "a seed of --seeds")
    if "seed" in options:
        check_seed(options["seed"], "--seed")
    if root is None:
        if not entry.meta["generated"]:
            raise DataError(f"format {format!r} reads a folder; name it with --root")
        root = store.place.workspace(f"images/{name}")
    if "on_note" in inspect.signature(entry.function).parameters:
        options["on_note"] = on_note
    manifest = entry.function(
        name, root, seeds=seeds, fractions=fractions, on_progress=on_progress, **options
    )
    return AddedDataset(manifest, store.register_dataset(manifest))


def check_format(name: str, options: Mapping[str, object]) -> None:
    """Refuse an unknown format of data sets, and options that it does not take.

    Raises
    ------
    UnknownNameError
        No such format.
    DataError
        The format has no such option.
    """
    from fstore.extractor.datasets import format_options

    own_options = format_options(name)
    if unknown := [option for option in options if option not in own_options]:
        flags = ", ".join("--" + o.replace("_", "-") for o in own_options) or "none of its own"
        raise DataError(
            f"format {name!r} has no option --{unknown[0].replace('_', '-')}; it has: {flags}"
        )
