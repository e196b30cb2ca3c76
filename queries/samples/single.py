"""One response a filter and sample, with labels and parts: what studies of single filters need."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.queries.samples.blocks import ablated_blocks
from fstore.queries.samples.problem import Problem, SplitRows

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


def responses(store: "Store", asked: Problem) -> Responses:
    """Read the summary column of a layer for the parts of one split; maps are not read.

    Parameters
    ----------
    store : Store
    asked : Problem
        Of one split.

    Raises
    ------
    DataError
        A response is NaN or infinite.
    """
    (split,) = asked.splits.values()
    blocks = [X[:, :, 0] for _, X in ablated_blocks(store, asked.rows, ablation="sp_max")]
    return Responses(np.concatenate(blocks, axis=1), asked.Y, asked.classes, split)
