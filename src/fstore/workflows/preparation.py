"""What a checkpoint's input goes through: its network's statement, or what it was given itself.

Fields of its own are kept in the checkpoint's recipe under ``preprocess``, the mean image beside
the weights; with the network's statement they give what the record's hash stands for.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from fstore.errors import DataError, IdentityError
from fstore.types import CheckpointRecord, FloatArray

if TYPE_CHECKING:
    from torch import Tensor

    from fstore.extractor.networks import Network
    from fstore.extractor.preprocess import Preprocess

__all__ = ["OwnPreprocess", "as_before", "as_recorded", "own_options", "with_mean", "with_own"]

OwnPreprocess: TypeAlias = "Mapping[str, object] | Preprocess"
"""Fields that differ from the network's statement, or all that there is to say."""


def own_options(record: CheckpointRecord) -> dict[str, Any]:
    """Return the fields of preprocessing that a checkpoint was given itself; most have none."""
    try:
        recipe = json.loads(record.recipe)
    except ValueError:
        return {}
    options = recipe.get("preprocess") if isinstance(recipe, dict) else None
    return dict(options) if isinstance(options, dict) else {}


def with_own(
    network: "Network", preprocess: "OwnPreprocess | None"
) -> tuple["Network", dict[str, Any]]:
    """Return a network with a checkpoint's own preprocessing, and what its recipe says of it.

    Parameters
    ----------
    network : Network
    preprocess : mapping, Preprocess or None
        Fields that differ from those of the network, for
        :meth:`fstore.extractor.preprocess.Preprocess.with_options`; or a whole preprocessing,
        which stands in place of the network's.

    Raises
    ------
    DataError
        An unknown field, or a value that is none.
    """
    from fstore.extractor.preprocess import Preprocess

    if preprocess is None:
        return network, {}
    whole = isinstance(preprocess, Preprocess)
    options = preprocess.options() if isinstance(preprocess, Preprocess) else dict(preprocess)
    if not options:
        return network, {}
    stated = network.preprocess.with_options(options)
    if isinstance(preprocess, Preprocess):
        stated = replace(stated, mean_image=preprocess.mean_image)
    every = stated.options()
    kept = every if whole else {name: every[name] for name in options}
    return replace(network, preprocess=stated), {"preprocess": kept}


def with_mean(
    network: "Network",
    mean: Path | None,
    tensors: "Mapping[str, Tensor]",
    *,
    preprocess: "OwnPreprocess | None" = None,
) -> "Network":
    """Return a network with the mean image of a file, else the one beside its weights, if any.

    Raises
    ------
    DataError
        The image is of another shape; or ``preprocess`` states a mean, too.
    """
    from fstore.extractor.preprocess import Preprocess
    from fstore.extractor.weights import MEAN_IMAGE, read_mean_image

    whole = isinstance(preprocess, Preprocess)
    if mean is None and (whole or MEAN_IMAGE not in tensors):
        return network
    if isinstance(preprocess, Preprocess):
        twice = preprocess.mean_image is not None
    else:
        twice = "mean" in (preprocess or {})
    if twice:
        source = "--mean" if mean is not None else "the file of weights"
        raise DataError(
            f"the preprocessing states a mean, and {source} gives a mean image, which would stand "
            "in its place; leave one of them out"
        )
    image = (
        tensors[MEAN_IMAGE].float().numpy()
        if mean is None
        else read_mean_image(mean, network.preprocess)
    )
    return _with_image(network, image)


def as_before(network: "Network", records: Iterable[CheckpointRecord]) -> "Network":
    """Return a network with the earlier statement that checkpoints were made with, if it was one.

    Who registers weights again, or goes on with a run of training whose first snapshots are
    there, then gets what the name stands for, and no mixture.

    Parameters
    ----------
    network : Network
        To be registered.
    records : iterable of CheckpointRecord
        Those that have its names already.
    """
    hashes = {record.preprocessing_hash for record in records}
    for stated in network.formerly:
        earlier = _with_image(replace(network, preprocess=stated), network.preprocess.mean_image)
        if earlier.preprocess.hash in hashes:
            return earlier
    return network


def as_recorded(
    network: "Network", record: CheckpointRecord, image: FloatArray | None
) -> "Network":
    """Return a network with the preprocessing that a checkpoint's record stands for.

    Parameters
    ----------
    network : Network
        As its function builds it today.
    record : CheckpointRecord
        Made with what the network's function states now, or with one of its earlier statements;
        with the fields of its own in place of those.
    image : array of shape (3, resize, resize), float32, or None
        The mean image that is kept beside the weights.

    Raises
    ------
    IdentityError
        None of them gives the preprocessing of the record: the network's function was edited.
    """
    options = own_options(record)
    for stated in (network.preprocess, *network.formerly):
        prepared = _with_image(replace(network, preprocess=stated.with_options(options)), image)
        if prepared.preprocess.hash == record.preprocessing_hash:
            return prepared
    stated = network.preprocess.with_options(options)
    raise _edited(_with_image(replace(network, preprocess=stated), image), record)


def _with_image(network: "Network", image: FloatArray | None) -> "Network":
    if image is None:
        return network
    return replace(network, preprocess=replace(network.preprocess, mean_image=image))


def _edited(network: "Network", record: CheckpointRecord) -> IdentityError:
    """Return the refusal of a network whose input is prepared in another way than it was."""
    try:
        then = json.loads(record.preprocessing)
    except ValueError:
        then = {}
    now = json.loads(network.preprocess.to_json())
    differ = [
        f"{part} was {then.get(part, 'not set')}, is {now.get(part, 'not set')}"
        for part in sorted({*then, *now})
        if then.get(part) != now.get(part)
    ]
    whole = f"{record.network}/{record.name}"
    return IdentityError(
        f"preprocessing of network {record.network!r} is not that of checkpoint {whole}: "
        f"{'; '.join(differ) or 'its hash differs'}; undo the change, or register the weights "
        "under another --name to extract with the new preprocessing"
    )
