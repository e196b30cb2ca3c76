"""What is taken from responses before they become features (section 5)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError, UnknownNameError

__all__ = ["PAPER", "Ablation", "parse_ablation"]

PAPER = ("none", "binarize", "sp_shuffle", "sp_max")

Responses: TypeAlias = NDArray[np.float32]
Apply: TypeAlias = Callable[[Responses, NDArray[np.int32] | None], Responses]


@dataclass(frozen=True, slots=True)
class Ablation:
    """A change of responses.

    Attributes
    ----------
    name : str
        As it was asked for: ``binarize``, ``top_k=5``.
    what : {"map", "sp_max"}
        What of a layer it needs: whole maps, or only the largest response of each.
    apply : callable
        ``apply(X, permutations)``: X of shape (n_samples, n_channels, positions), float32, gives
        another of the same samples and channels; it may change X. ``permutations`` of shape
        (n_samples, positions), int32, or None.
    shuffles : bool
        Whether it needs permutations.
    """

    name: str
    what: Literal["map", "sp_max"]
    apply: Apply
    shuffles: bool = False

    @property
    def of_bits(self) -> bool:
        """Whether it gives the same of responses that are stored as bits."""
        return self.name == "binarize"


def parse_ablation(text: str) -> Ablation:
    """Return the ablation of a name, with its number behind an equals sign.

    Parameters
    ----------
    text : str
        ``none``; ``binarize`` (1 where a response is above 0, else 0; ``binarize=T``: above T);
        ``threshold=T`` (a response where it is above T, else 0); ``sp_shuffle`` (places permuted,
        all channels of a sample together); ``sp_max`` (the largest response of a map); ``top_k=K``
        (the mean of its K largest: 1 is sp_max, all places the mean).

    Raises
    ------
    UnknownNameError
        There is no such ablation.
    DataError
        The number is missing, or is none.
    """
    name, _, number = text.partition("=")
    if text in PLAIN:
        return PLAIN[text]
    if name == "binarize":
        limit = np.float32(_number(text, number, float))
        return Ablation(text, "map", lambda X, _: (limit < X).astype(np.float32))
    if name == "threshold":
        limit = np.float32(_number(text, number, float))
        return Ablation(text, "map", lambda X, _: np.where(limit < X, X, np.float32(0)))
    if name == "top_k":
        k = _number(text, number, int)
        if k < 1:
            raise DataError(f"{text}: the mean is of at least 1 response")
        return Ablation(text, "map", lambda X, _: _top_k(X, int(k)))
    known = ", ".join([*PLAIN, "binarize=T", "threshold=T", "top_k=K"])
    raise UnknownNameError(f"no ablation {text!r}; there are: {known}")


def _number(text: str, number: str, kind: Callable[[str], float]) -> float:
    try:
        value = kind(number)
    except ValueError:
        raise DataError(f"{text!r} needs a number, as in threshold=0.5 or top_k=5") from None
    if not np.isfinite(value):
        raise DataError(f"{text!r} needs a finite number")
    return value


def _binarize(X: Responses, limit: np.float32) -> Responses:
    np.greater(X, limit, out=X)
    return X


def _shuffle(X: Responses, permutations: NDArray[np.int32] | None) -> Responses:
    if permutations is None:
        raise ValueError("sp_shuffle needs permutations")
    if X.shape[2] == 1:
        return X
    shuffled: Responses = np.take_along_axis(X, permutations[:, None, :], axis=2)
    return shuffled


def _top_k(X: Responses, k: int) -> Responses:
    """Return the mean of the k largest responses of each map, summed in float64."""
    positions = X.shape[2]
    if k < positions:
        X = np.partition(X, positions - k, axis=2)[:, :, positions - k :]
    mean: Responses = X.mean(axis=2, keepdims=True, dtype=np.float64).astype(np.float32)
    return mean


PLAIN = {
    a.name: a
    for a in (
        Ablation("none", "map", lambda X, _: X),
        Ablation("binarize", "map", lambda X, _: _binarize(X, np.float32(0))),
        Ablation("sp_shuffle", "map", _shuffle, shuffles=True),
        Ablation("sp_max", "sp_max", lambda X, _: X),
    )
}
