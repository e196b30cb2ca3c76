"""Figure 6: what the ablations take from a response map, shown on a real one."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from fstore.queries.cells.needs import SAMPLE, Cell, Need, Reading
from fstore.queries.cells.registry import report
from fstore.queries.figures.figure6 import add_picture, plot_figure6
from fstore.queries.figures.maps import plot_maps
from fstore.queries.reports._classify import ablations_of
from fstore.store.parts import Samples

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fstore.queries.samples.blocks import Rows
    from fstore.queries.studies.study import Study
    from fstore.store import Store

__all__ = [
    "figure6",
]

CHANNELS = 4


def needs(_store: "Store", study: "Study") -> list[Need]:
    """Return one series: maps of the mid layer, at the pre-trained checkpoint, test part.

    Of ground-truth boxes if the study binds ``detection``, else of whole images.
    """
    layer, ckpt = study.layer("mid_layer"), study.checkpoint("pretrained")
    view = "gt" if study.detection else "image"
    bounds = study.detection or study.bound("classification")
    tested = [b for b in bounds if b.uses("test")]
    samples = [Samples(b.dataset, view, b.split, b.seeds[0], "test") for b in tested]
    readings = tuple(Reading(study.network, ckpt, layer, s) for s in samples)
    parameters = (("channels", CHANNELS), ("shuffle_seed", study.seeds[0]))
    return [Need(layer, "", readings, parameters, labels=False)]


@report(
    "figure6",
    title="The ablations on a real response map",
    answers="What do binarizing, sp-shuffle and sp-max take from a response map?",
    needs=needs,
    plot=plot_figure6,
    chart=plot_maps,
    illustrate=add_picture,
    negative="a binarized map has 0 for them, as for what does not respond",
)
def figure6(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the maps of four filters to one sample, as they are and after each ablation.

    The sample is the one with the largest response of any filter among those of the test part
    (difficult boxes left out; the first of equals); the filters are the four that respond most to
    it. Row: channel and ablation; column: row and column in the map, from 0. Row ``(sample)``: its
    data set, view and number. Source: the paper's Figure 6.
    """
    from fstore.store.features import layer_shape

    for need in needs:
        parameters = dict(need.parameters)
        only, channels = _strongest(store, need.readings, int(parameters["channels"]))
        place, seed = only.partition, int(parameters["shuffle_seed"])
        shape = layer_shape(store, place)
        cells = [Cell(f"{SAMPLE} {place.dataset} {place.view}", "sample_id", float(only.ids[0]))]
        for ablation in ablations_of(shape.positions):
            maps = _ablated(store, only, channels, ablation=ablation, seed=seed)
            for c in channels:
                width = shape.width if len(maps[c]) == shape.positions else 1
                cells += [
                    Cell(f"{c} {ablation}", f"{i // width} {i % width}", float(value))
                    for i, value in enumerate(maps[c])
                ]
        yield need, cells


def _ablated(
    store: "Store", only: "Rows", channels: Sequence[int], *, ablation: str, seed: int
) -> "dict[int, NDArray[np.float32]]":
    """Return the ablated maps of some channels to one sample."""
    from fstore.queries.samples.blocks import ablated_blocks

    blocks = ablated_blocks(store, [only], ablation=ablation, seed=seed, channels=channels)
    return {int(c): X[0, i] for block, X in blocks for i, c in enumerate(block)}


def _strongest(
    store: "Store", readings: Sequence[Reading], n_channels: int
) -> "tuple[Rows, list[int]]":
    """Return the sample with the largest response, and the filters that respond most to it."""
    from fstore.queries.samples.blocks import Rows, ablated_blocks
    from fstore.queries.samples.labels import readable
    from fstore.store.files import Partition
    from fstore.store.parts import sample_ids

    rows = []
    for r in readings:
        place = Partition(r.network, r.ckpt, r.samples.dataset, r.samples.view, r.layer)
        rows.append(Rows(place, readable(store, place, sample_ids(store, r.samples))))
    blocks = [X[:, :, 0] for _, X in ablated_blocks(store, rows, ablation="sp_max")]
    X = np.concatenate(blocks, axis=1)
    at = int(X.max(axis=1).argmax())
    owner = [(r.partition, sample) for r in rows for sample in r.ids]
    place, sample = owner[at]
    best = np.argsort(-X[at], kind="stable")[:n_channels]
    return Rows(place, np.array([sample])), [int(c) for c in best]
