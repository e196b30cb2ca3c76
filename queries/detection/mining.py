"""Linear SVMs a class, trained with hard negatives that are mined in a stream (R-CNN).

One pass over the boxes of the training images: what the present SVM of a class does not reject
clearly enough joins the class's cache; when enough is new the SVM is trained again on the cache,
and what it now rejects easily leaves it. ``docs/detection.md`` says what that takes.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.queries.detection.ascent import Model, ascend
from fstore.queries.detection.pool import Pool, PoolFullError
from fstore.queries.detection.regions import runs
from fstore.queries.methods.svm import BIAS, POSITIVE_WEIGHT

__all__ = ["Block", "Mined", "MiningOptions", "full_objectives", "mine"]

FIRST_TOLERANCE = 1e-3
"""Duality gap at which trainings end that more negatives follow."""


@dataclass(frozen=True, kw_only=True)
class MiningOptions:
    """How SVMs are trained; the defaults are R-CNN's, ``docs/detection.md`` says which are ours.

    Attributes
    ----------
    C, positive_weight : float
        Of the SVMs; the bias feature of value 10 is fixed.
    hard : float
        A negative that scores above this joins the cache.
    evict : float
        One that scores below this after a training leaves it.
    retrain_after : int
        A class is trained again once more than so many negatives are new.
    passes : int
        Over the boxes, at most; a further one ends the mining if it finds nothing new.
    tolerance : float
        Relative duality gap of the final SVMs on their caches.
    cache_bytes : int
        Of the features of all positives and cached negatives.
    """

    C: float = 1e-3
    positive_weight: float = POSITIVE_WEIGHT
    hard: float = -1.0001
    evict: float = -1.2
    retrain_after: int = 2000
    passes: int = 1
    tolerance: float = 1e-4
    cache_bytes: int = 4 << 30


@dataclass(frozen=True, slots=True)
class Block:
    """Boxes of training images, in a row image after image.

    Attributes
    ----------
    keys : array of shape (n,), int64
        Other ones for other boxes, 0 and up.
    image : array of shape (n,), int
    X : array of shape (n, n_features), float32
        Scaled.
    negative : array of shape (n, n_classes), bool
        Whether a box is a negative of a class; else it is ignored.
    """

    keys: NDArray[np.int64]
    image: NDArray[np.intp]
    X: NDArray[np.float32]
    negative: NDArray[np.bool_]


Blocks: TypeAlias = Callable[[], Iterable[Block]]
"""Starts a pass over all boxes."""


@dataclass(frozen=True, slots=True)
class Mined:
    """The SVM of one class.

    Attributes
    ----------
    w : array of shape (n_features,), float32
    b : float
        Scores are ``X @ w + b``.
    positives, negatives, added, cached : int
        Boxes learned from; negatives that were looked at (once a pass), that joined the cache, and
        that are in it at the end.
    trainings : int
    objective, dual : float
        Of the SVM on its cache. ``dual`` bounds from below what the SVM on all negatives can reach.
    """

    w: NDArray[np.float32]
    b: float
    positives: int
    negatives: int
    added: int
    cached: int
    trainings: int
    objective: float
    dual: float


def mine(
    positives: Sequence[NDArray[np.float32]],
    blocks: Blocks,
    options: MiningOptions | None = None,
) -> list[Mined | None]:
    """Train one SVM a class on its positives and the hard ones among its negatives.

    Memory: ``options.cache_bytes``, and one block.

    Parameters
    ----------
    positives : sequence of arrays of shape (n_positives, n_features), float32
        One a class, scaled like the blocks.
    blocks : callable
        Called once for each pass; yields :class:`Block`.
    options : MiningOptions or None

    Returns
    -------
    list of Mined or None
        One a class; None for a class without a positive or without a negative.

    Raises
    ------
    DataError
        What must be kept does not fit into ``cache_bytes``.
    """
    options = options or MiningOptions()
    if not any(len(X) for X in positives):
        return [None] * len(positives)
    miner = _Miner(positives, options)
    for number in range(options.passes):
        before = sum(c.added for c in miner.classes)
        for block in blocks():
            miner.see(block)
        miner.finish()
        if number and sum(c.added for c in miner.classes) == before:
            break
    return [c.result() for c in miner.classes]


@dataclass
class _Class:
    """One class: its SVM, and the places of its boxes in the pool."""

    positives: NDArray[np.intp]
    negatives: NDArray[np.intp] = field(default_factory=lambda: np.empty(0, dtype=np.intp))
    coefficients: NDArray[np.float64] = field(default_factory=lambda: np.empty(0))
    keys: set[int] = field(default_factory=set)  # of the negatives, for further passes
    model: Model | None = None
    new: int = 0
    seen: int = 0
    added: int = 0
    trainings: int = 0

    def train(self, pool: Pool, options: MiningOptions, tolerance: float) -> None:
        """Train on the cache from where the last training ended, then evict."""
        rows = np.concatenate([self.positives, self.negatives])
        y = np.ones(len(rows), dtype=np.int8)
        y[len(self.positives) :] = -1
        start = np.zeros(len(rows))
        start[: len(self.coefficients)] = self.coefficients
        self.model = ascend(
            pool.values, rows, y, C=options.C, positive_weight=options.positive_weight,
            start=start, tolerance=tolerance,
        )  # fmt: skip
        self.trainings += 1
        self.new = 0
        self._evict(pool, options.evict)

    def _evict(self, pool: Pool, limit: float) -> None:
        assert self.model is not None  # noqa: S101 - it was just trained
        n = len(self.positives)
        easy = self.model.scores[n:] < limit
        self.keys.difference_update(pool.keys(self.negatives[easy]))
        pool.release(self.negatives[easy])
        self.negatives = self.negatives[~easy]
        kept = self.model.coefficients
        self.coefficients = np.concatenate([kept[:n], kept[n:][~easy]])

    def result(self) -> Mined | None:
        """Return what was learned."""
        if self.model is None:
            return None
        model = self.model
        counts = (len(self.positives), self.seen, self.added, len(self.negatives))
        return Mined(model.w, model.b, *counts, self.trainings, model.objective, model.dual)


class _Miner:
    """All classes, the pool that they share, and their weights side by side."""

    def __init__(self, positives: Sequence[NDArray[np.float32]], options: MiningOptions) -> None:
        self.options = options
        n_features = positives[0].shape[1]
        self.pool = Pool(n_features, options.cache_bytes)
        self.classes = []
        key = 0
        for X in positives:
            # negative keys: those of the boxes that are mined count from 0 upwards
            keys = list(range(key - 1, key - 1 - len(X), -1))
            key -= len(X)
            try:
                at = self.pool.places(keys, X)
            except PoolFullError:
                raise self._full() from None
            self.pool.hold(at)
            self.classes.append(_Class(at))
        self.able = np.array([len(c.positives) > 0 for c in self.classes], dtype=np.bool_)
        self.W = np.zeros((n_features, len(positives)), dtype=np.float32)
        self.b = np.full(len(positives), np.inf, dtype=np.float32)  # without an SVM all are hard

    def see(self, block: Block) -> None:
        """Let a block's boxes pass, image after image."""
        negative = block.negative & self.able
        Z = block.X @ self.W + self.b
        for start, end in runs(block.image):
            part = slice(start, end)
            for label in self._see_image(
                block.keys[part], block.X[part], negative[part], Z=Z[part]
            ):
                Z[end:, label] = block.X[end:] @ self.W[:, label] + self.b[label]

    def _see_image(
        self,
        keys: NDArray[np.int64],
        X: NDArray[np.float32],
        negative: NDArray[np.bool_],
        *,
        Z: NDArray[np.float32],
    ) -> list[int]:
        """Add an image's hard negatives; return the classes that were trained again."""
        hard = negative & (self.options.hard < Z)
        some = np.flatnonzero(hard.any(axis=1))
        at, trained = self._places(keys[some].tolist(), X[some])
        for label, of_class in enumerate(self.classes):
            of_class.seen += int(negative[:, label].sum())
            self._add(of_class, keys[some], at, hard=hard[some, label])
        # only now: what a training evicts is freed if no other class holds it
        for label, of_class in enumerate(self.classes):
            if of_class.new > self.options.retrain_after or (of_class.new and not of_class.model):
                self._train(label, FIRST_TOLERANCE)
                trained.append(label)
        return trained

    def _places(
        self, keys: list[int], X: NDArray[np.float32]
    ) -> tuple[NDArray[np.intp], list[int]]:
        """Find room for boxes; if there is none, train all classes and evict first."""
        try:
            return self.pool.places(keys, X), []
        except PoolFullError:
            stale = [label for label, c in enumerate(self.classes) if c.new]
            for label in stale:
                self._train(label, FIRST_TOLERANCE)
        try:
            return self.pool.places(keys, X), stale
        except PoolFullError:
            raise self._full() from None

    def _add(
        self,
        of_class: _Class,
        keys: NDArray[np.int64],
        at: NDArray[np.intp],
        *,
        hard: NDArray[np.bool_],
    ) -> None:
        chosen = np.flatnonzero(hard)
        fresh = [i for i in chosen.tolist() if int(keys[i]) not in of_class.keys]
        of_class.keys.update(keys[fresh].tolist())
        self.pool.hold(at[fresh])
        of_class.negatives = np.concatenate([of_class.negatives, at[fresh]])
        of_class.new += len(fresh)
        of_class.added += len(fresh)

    def _train(self, label: int, tolerance: float) -> None:
        of_class = self.classes[label]
        of_class.train(self.pool, self.options, tolerance)
        assert of_class.model is not None  # noqa: S101 - it was just trained
        self.W[:, label], self.b[label] = of_class.model.w, of_class.model.b

    def finish(self) -> None:
        """Train every class on what it has by now."""
        for label, of_class in enumerate(self.classes):
            if of_class.model is not None:
                self._train(label, self.options.tolerance)

    def _full(self) -> DataError:
        boxes = len(self.pool.values)
        return DataError(
            f"the cache of {self.options.cache_bytes >> 20} MiB is full: it holds {boxes} boxes of "
            f"{self.pool.values.shape[1]} values each, positives and hard negatives; give it more "
            "with --cache-mib, or train fewer classes at a time with --class"
        )


def full_objectives(
    models: Sequence[Mined | None],
    positives: Sequence[NDArray[np.float32]],
    blocks: Blocks,
    *,
    options: MiningOptions | None = None,
) -> NDArray[np.float64]:
    """Return each SVM's objective over ALL negatives, by one more pass over the boxes.

    ``(objective - dual) / objective`` bounds how far mining stayed behind the SVM on all negatives.

    Parameters
    ----------
    models : sequence of Mined or None
        As :func:`mine` gives them.
    positives, blocks, options
        Those of :func:`mine`.

    Returns
    -------
    array of shape (n_classes,), float64
        NaN where there is no SVM.
    """
    options = options or MiningOptions()
    labels = [label for label, model in enumerate(models) if model is not None]
    trained = [model for model in models if model is not None]
    W, b = np.stack([m.w for m in trained], axis=1), np.array([m.b for m in trained])
    losses = np.zeros(len(trained))
    for block in blocks():
        margin = np.maximum(0, 1 + (block.X @ W + b))
        losses += (margin * block.negative[:, labels]).sum(axis=0)
    objectives = np.full(len(models), np.nan)
    for at, (label, m) in enumerate(zip(labels, trained, strict=True)):
        own = np.maximum(0, 1 - (positives[label] @ m.w + m.b)).sum()
        norm = 0.5 * (float(m.w.astype(np.float64) @ m.w) + (m.b / BIAS) ** 2)
        objectives[label] = norm + options.C * (options.positive_weight * own + losses[at])
    return objectives
