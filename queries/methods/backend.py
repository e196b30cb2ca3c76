"""Where inner products are summed up: BLAS, or a GPU through torch."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError

__all__ = ["Accumulator", "BlasAccumulator", "TorchAccumulator", "accumulator"]


class Accumulator(Protocol):
    """Sums X X^T over blocks of features."""

    def add(self, X: NDArray[np.float32]) -> None:
        """Add the inner products of a block; X of shape (n_samples, n_features), any order."""

    def result(self) -> NDArray[np.float32]:
        """Return the sum, shape (n_samples, n_samples), symmetric; call once, at the end."""


class BlasAccumulator:
    """Sums on the CPU, one triangle only, in place: half the work, one n x n array."""

    def __init__(self, n_samples: int) -> None:
        self._sum = np.zeros((n_samples, n_samples), dtype=np.float32, order="F")

    def add(self, X: NDArray[np.float32]) -> None:
        """Add the inner products of a block; no copy if rows or columns are contiguous."""
        from scipy.linalg.blas import ssyrk

        by_columns = X.flags.f_contiguous
        # ssyrk wants Fortran order: X itself, or the transpose of rows that are contiguous
        a = X if by_columns else np.ascontiguousarray(X).T
        self._sum = ssyrk(
            1.0, a, beta=1.0, c=self._sum, trans=not by_columns, lower=1, overwrite_c=1
        )

    def result(self) -> NDArray[np.float32]:
        """Mirror the triangle, some rows at a time."""
        n, step = len(self._sum), 512
        for start in range(0, n, step):
            end = min(start + step, n)
            square = self._sum[start:end, start:end]
            square += np.tril(square, -1).T
            self._sum[start:end, end:] = self._sum[end:, start:end].T
        return self._sum.T  # symmetric: the same numbers, in C order


class TorchAccumulator:
    """Sums on a device of torch in float32; products are not rounded to TF32."""

    def __init__(self, n_samples: int, device: str) -> None:
        import torch

        self._sum: torch.Tensor = torch.zeros((n_samples, n_samples), device=device)

    def add(self, X: NDArray[np.float32]) -> None:
        """Copy a block to the device and add its inner products."""
        import torch

        on_device = torch.from_numpy(np.ascontiguousarray(X)).to(self._sum.device)
        kept = torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.allow_tf32 = False
        try:
            self._sum.addmm_(on_device, on_device.T)
        finally:
            torch.backends.cuda.matmul.allow_tf32 = kept

    def result(self) -> NDArray[np.float32]:
        """Return the sum in the host's memory."""
        total: NDArray[np.float32] = self._sum.cpu().numpy()
        return total


def accumulator(n_samples: int, device: str = "auto") -> Accumulator:
    """Return what sums inner products: a GPU if there is one, else BLAS.

    Parameters
    ----------
    n_samples : int
    device : str
        ``auto``, ``cpu``, or a device of torch such as ``cuda`` or ``cuda:1``.

    Raises
    ------
    DataError
        The device is not there.
    """
    if device == "cpu" or (device == "auto" and not _has_cuda()):
        return BlasAccumulator(n_samples)
    try:
        return TorchAccumulator(n_samples, "cuda" if device == "auto" else device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(f"device '{device}' cannot be used: {reason}; try --device cpu") from error


def _has_cuda() -> bool:
    """Say whether there is a GPU, without importing torch where there is no driver."""
    from ctypes.util import find_library

    if find_library("cuda") is None:
        return False
    import torch

    return torch.cuda.is_available()
