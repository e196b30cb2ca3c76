"""Apply a function of the user's to responses, and check what it returns."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.types import ActivationBatch, LayerSpec, Precision

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Applied"]

SLACK = 1e-3
"""Difference allowed between a sample alone and in a batch, as a share of the largest value."""


@dataclass(frozen=True)
class Applied:
    """A function and how it is given its inputs; see :func:`fstore.api.derived.add_layer_from`."""

    function: Callable[[Any], Any]
    batch_size: int
    arrays: bool

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise DataError(f"batch_size={self.batch_size}; expected at least 1")

    def try_on(self, X: NDArray[np.float32]) -> tuple[int, int, int]:
        """Return channels, height and width of what the function returns.

        Parameters
        ----------
        X : array of shape (n_samples, C, H, W) or (n_samples, C), float32
            Two samples or more, for all to be checked.

        Raises
        ------
        DataError
            It is of another form, or what is returned for a sample is not the same when the
            function is called again, or given the sample alone.
        """
        whole = self(X)
        self._compare(whole, self(X), "called again with the same samples")
        alone = [self(X[i : i + 1]) for i in range(len(X))]
        for part in alone:
            if part.shape[1:] != whole.shape[1:]:
                raise DataError(
                    f"the function returns shape {tuple(part.shape[1:])} for a sample alone, "
                    f"{tuple(whole.shape[1:])} in a batch; expected the same"
                )
        self._compare(whole, np.concatenate(alone), "given each sample alone")
        channels, *place = whole.shape[1:]
        return (channels, 1, 1) if not place else (channels, place[0], place[1])

    def batches(
        self,
        X: NDArray[np.float32],
        ids: NDArray[np.int64],
        spec: LayerSpec,
        *,
        precision: Precision,
    ) -> Iterator[tuple[ActivationBatch, int]]:
        """Yield what the function returns as it is stored, and how many values are not finite."""
        import torch

        from fstore.extractor.responses import round_to, summarise

        for start in range(0, len(X), self.batch_size):
            part = slice(start, start + self.batch_size)
            values = round_to(torch.from_numpy(self(X[part])), precision)
            if spec.positions == 1:
                values = values.flatten(1)
            responses = summarise(values).to_host(lambda tensor: tensor.numpy())
            of_channel = responses.act_max if responses.act_sum is None else responses.act_sum
            yield (
                ActivationBatch(ids[part], {spec.name: responses}),
                int(np.count_nonzero(~np.isfinite(of_channel))),
            )

    def __call__(self, X: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return what the function makes of some samples, (n, K) or (n, K, H, W), float32.

        It is given a copy: whatever it does to it, the next call sees the stored values.
        """
        import torch

        with torch.no_grad():
            given = X.copy()
            returned = self.function(given if self.arrays else torch.from_numpy(given))
        values = _as_array(returned)
        if values.ndim not in (2, 4) or len(values) != len(X) or 0 in values.shape:
            raise DataError(
                f"the function returned shape {values.shape} for {len(X)} samples of "
                f"{X.shape[1:]}; expected ({len(X)}, K) or ({len(X)}, K, H, W)"
            )
        return values

    @staticmethod
    def _compare(first: NDArray[np.float32], second: NDArray[np.float32], when: str) -> None:
        with np.errstate(invalid="ignore"):
            gap = np.abs(first - second)
        gap[(first == second) | (np.isnan(first) & np.isnan(second))] = 0
        scale = float(np.abs(first[np.isfinite(first)]).max(initial=0))
        if not np.nanmax(gap, initial=0) <= SLACK * scale or np.isnan(gap).any():
            raise DataError(
                f"the function gives other values {when} (they differ by up to "
                f"{np.nanmax(gap, initial=0):.3g}, the largest is {scale:.3g}); a sample's values "
                "must depend on that sample alone: put a module into eval(), draw no random "
                "numbers, and normalise with fixed numbers, not by the batch"
            )


def _as_array(returned: "Tensor | NDArray[Any]") -> NDArray[np.float32]:
    """Return a tensor or array as float32 on the CPU; refuse anything else."""
    import torch

    if isinstance(returned, torch.Tensor) and not returned.is_complex():
        array: NDArray[np.float32] = returned.detach().to("cpu", torch.float32).numpy()
        return array
    if isinstance(returned, np.ndarray) and returned.dtype.kind in "fiub":
        return np.ascontiguousarray(returned, dtype=np.float32)
    told = f"{type(returned).__name__} of {getattr(returned, 'dtype', 'no dtype')}"
    raise DataError(f"the function returned {told}; expected a tensor or an array of real numbers")
