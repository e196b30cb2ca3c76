"""What Figure 1, supplementary Figure 1 and Table 9 share: AuE of layers before and after."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.queries.cells.needs import Need, Reading
from fstore.queries.reports._roles import roles
from fstore.queries.studies.study import Study
from fstore.store.parts import Samples

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from fstore.queries.methods.entropy import Measure
    from fstore.queries.samples.blocks import Rows
    from fstore.store import Store

__all__ = [
    "FRACTIONS",
    "aues",
    "box_samples",
    "fires",
    "layer_needs",
]

FRACTIONS = tuple(round(0.02 * i, 2) for i in range(1, 51))
"""Of a layer's filters, at which curves are drawn; layers of any width share them."""


def box_samples(study: Study) -> list[Samples]:
    """Return the boxes that selectivity is measured on: the test part, of a first split.

    Neither checkpoint has learned from them.
    """
    bounds = study.bound("detection")
    return [Samples(b.dataset, "gt", b.split, b.seeds[0], "test") for b in bounds if b.uses("test")]


def layer_needs(_store: "Store", study: Study) -> list[Need]:
    """Return a series a layer and checkpoint."""
    samples = box_samples(study)
    return [
        Need(f"{layer} {role}", "", tuple(Reading(study.network, ckpt, layer, s) for s in samples))
        for layer in study.layers
        for role, ckpt in roles(study).items()
    ]


def aues(
    store: "Store", readings: Sequence[Reading], measures: "Sequence[Measure]"
) -> "dict[Measure, NDArray[Any]]":
    """Return the AuE of every filter by measure, over the boxes of some readings."""
    from fstore.queries.methods.selectivity import layer_areas

    return layer_areas(store, _rows(store, readings), measures)


def fires(store: "Store", readings: Sequence[Reading]) -> "NDArray[np.bool_]":
    """Return which filters fire for one of the boxes of some readings, shape (n_filters,)."""
    from fstore.queries.methods.selectivity import layer_peaks

    return layer_peaks(store, _rows(store, readings)) > 0


def _rows(store: "Store", readings: Sequence[Reading]) -> "list[Rows]":
    """Return where the boxes of some readings are, difficult ones left out."""
    from fstore.queries.samples.blocks import Rows
    from fstore.queries.samples.labels import readable
    from fstore.store.files import Partition
    from fstore.store.parts import sample_ids

    rows = []
    for r in readings:
        place = Partition(r.network, r.ckpt, r.samples.dataset, r.samples.view, r.layer)
        rows.append(Rows(place, readable(store, place, sample_ids(store, r.samples))))
    return rows
