"""One response a filter and sample, with labels and parts: what studies of single filters need."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.queries.samples.blocks import ablated_blocks
from fstore.queries.samples.problem import SplitRows, problem
from fstore.store.parts import Samples

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Responses", "responses"]


@dataclass(frozen=True, slots=True)
class Responses:
    """The largest response of every filter to every sample (the value, in layers without maps).

    Attributes
    ----------
    X : array of shape (n_samples, n_filters), float32
    Y : array of shape (n_samples, n_classes), int8
        1, -1, or 0: left out for that class.
    classes : tuple of str
    split : SplitRows
    """

    X: NDArray[np.float32]
    Y: NDArray[np.int8]
    classes: tuple[str, ...]
    split: SplitRows


def responses(
    store: "Store",
    samples: Sequence[Samples],
    *,
    network: str,
    ckpt: str,
    layer: str,
    difficult: bool = False,
) -> Responses:
    """Read the summary column of a layer for the parts of one split; maps are not read.

    Parameters
    ----------
    store : Store
    samples : sequence of Samples
        Parts of one split, of one or several data sets.
    network, ckpt, layer : str
    difficult : bool
        Keep boxes that are flagged difficult.

    Raises
    ------
    UnknownNameError
        A split, or activations of a sample, are not there.
    DataError
        A response is NaN or infinite.
    """
    asked = problem(store, samples, network=network, ckpt=ckpt, layer=layer, difficult=difficult)
    (split,) = asked.splits.values()
    blocks = [X[:, :, 0] for _, X in ablated_blocks(store, asked.rows, ablation="sp_max")]
    return Responses(np.concatenate(blocks, axis=1), asked.Y, asked.classes, split)
