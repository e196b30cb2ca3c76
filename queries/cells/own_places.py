"""Where the responses belong that a study's own report asks for, as far as that can be told."""

import re
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.asked_inputs import texts_of
from fstore.queries.cells.needs import Need, Own
from fstore.queries.cells.own_inputs import options_of
from fstore.queries.studies.study import ROLES, Study

if TYPE_CHECKING:
    from fstore.store.files import Partition

__all__ = ["own_places"]

VIEWS = ("image", "gt", "proposal")


def own_places(study: Study, need: Need) -> "list[Partition]":
    """Return the partitions that a cell asks for, of one data set and one view; none if untold.

    Nothing is guessed: a statement must have its layer and its checkpoint as parameters, and leave
    no choice of the data set, the view and the network.

    Parameters
    ----------
    study : Study
    need : Need
        A cell of a report of the study's own.
    """
    from fstore.store.files import Partition

    own = need.own
    assert own is not None  # noqa: S101 - of an own report
    values = options_of(need)
    layers, ckpts = texts_of(values, "layer", "other_layer"), texts_of(values, "ckpt", "other")
    network: str | None
    if own.analysis:
        layers, network, view = layers or list(study.layers), study.network, values.get("view")
        datasets = texts_of(values, "dataset", "other_dataset")
    else:
        network, view, datasets = _of_statement(study, own, values)
    of = values.get("network") or network
    if not of or not view or len(datasets) != 1:
        return []
    whole = [(ckpt if "/" in ckpt else f"{of}/{ckpt}").split("/", 1) for ckpt in ckpts]
    return [
        Partition(network=n, ckpt=ckpt, dataset=datasets[0], view=view, layer=layer)
        for n, ckpt in whole
        for layer in layers
    ]


def _of_statement(
    study: Study, own: Own, values: dict[str, Any]
) -> tuple[str | None, str | None, list[str]]:
    """Return the network, the view and the data sets that a statement can mean, as far as told."""
    text = " ".join(own.needs or (own.statement,))
    network = study.network if _can_be(text, "network", study.network) else None
    named = [view for view in VIEWS if f"'{view}'" in text]
    view = values.get("view") or ("image" if not named else named[0] if len(named) == 1 else None)
    if "dataset" in values:
        return network, view, texts_of(values, "dataset")
    bound = dict.fromkeys(b.dataset for role in ROLES for b in getattr(study, role))
    return (
        network,
        view,
        [name for name in bound if len(bound) == 1 and _can_be(text, "dataset", name)],
    )


def _can_be(text: str, column: str, name: str) -> bool:
    """Whether a statement can mean a name: it has it, or asks nothing of the column."""
    quoted = "'" + name.replace("'", "''") + "'"
    return quoted in text or not re.search(
        rf"\b{column}\b\"?\s*(=|!|<|>|in\b|like\b)", text, re.IGNORECASE
    )
