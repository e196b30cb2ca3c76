"""Data sets into a store: read by their format, checked, registered."""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError
from fstore.names import check_new_name
from fstore.reading import check_local
from fstore.seeds import check_seed
from fstore.workflows.fetched import at_hand

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
    root: str | Path | None = None,
    copy_images: bool = False,
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
    root : str, Path or None
        Folder of the images; formats that generate their images default to
        ``<store>/images/<name>``. A text such as ``s3://BUCKET/PREFIX`` needs ``copy_images``.
    copy_images : bool
        Copy the images into the store, so that who opens it elsewhere has them.
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
        copy_images = store.place.key_of(root) is None
    if isinstance(root, Path):  # which has lost a slash of s3://
        check_local(root, "root", instead="give it as a text, not as a Path")
    if "on_note" in inspect.signature(entry.function).parameters:
        options["on_note"] = on_note
    with at_hand(root, into_store=copy_images, on_progress=on_progress, on_note=on_note) as folder:
        manifest = entry.function(
            name, folder, seeds=seeds, fractions=fractions, on_progress=on_progress, **options
        )
        if copy_images:
            manifest = _copied(store, manifest, on_progress)
    return AddedDataset(manifest, store.register_dataset(manifest))


def _copied(
    store: "Store", manifest: "DatasetManifest", on_progress: "Progress | None"
) -> "DatasetManifest":
    """Copy a data set's images into the store; return it with where they are then."""
    from fstore.store.images import upload_images

    uris = (sample.uri for view in manifest.views for sample in view.samples)
    name, folder = manifest.name, manifest.root
    images = upload_images(store.place, name, folder, uris=uris, on_progress=on_progress)
    return replace(manifest, copied=images)


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
