"""Samples laid out in a plane by their responses: principal components, or UMAP."""

import io
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.extras import need

if TYPE_CHECKING:
    from fstore.types import FloatArray

__all__ = ["Embedding", "principal_components", "umap_layout"]

FIRST = 50
"""Principal components that UMAP sees of a layer with more features: distances change little."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """Places of samples in a plane.

    Attributes
    ----------
    points : array of shape (n_samples, 2), float64
    explained : tuple of float
        Share of the variance along each axis (PCA); of what is kept before UMAP, one number.
    """

    points: NDArray[np.float64]
    explained: tuple[float, ...]


def principal_components(X: "FloatArray", *, n: int = 2, seed: int = 0) -> Embedding:
    """Return samples by their first principal components.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), float32 or float64
        Centred here, not scaled; not modified.
    n : int
        Components; fewer where there are not as many.
    seed : int
        Of the randomized solver that large matrices are given to.

    Returns
    -------
    Embedding
        The sign of each component is such that its largest loading is positive. ``points`` has at
        least two columns; one that there is no variance for is 0.

    Raises
    ------
    DataError
        Fewer than three samples, or no feature differs between them.

    References
    ----------
    Halko et al. 2011, doi:10.1137/090771806 (the solver, scikit-learn's).
    """
    from sklearn.decomposition import PCA

    _check(X)
    n = min(n, *X.shape)
    pca = PCA(n, random_state=seed).fit(X)
    largest = np.abs(pca.components_).argmax(axis=1)
    signs = np.sign(pca.components_[np.arange(n), largest])
    points = np.asarray(pca.transform(X) * signs, dtype=np.float64)
    missing = max(0, 2 - n)
    return Embedding(
        np.pad(points, ((0, 0), (0, missing))),
        (*map(float, pca.explained_variance_ratio_), *(0.0,) * missing),
    )


def _check(X: "FloatArray") -> None:
    if len(X) < 3:
        raise DataError(f"a map needs at least 3 samples; got {len(X)}")
    if not (X.max(axis=0) > X.min(axis=0)).any():
        raise DataError(
            f"all {X.shape[1]} features are the same for all {len(X)} samples: nothing to lay out"
        )


def umap_layout(X: "FloatArray", *, seed: int = 0) -> Embedding:
    """Return samples laid out by UMAP: neighbours stay neighbours, distances mean little.

    It runs in a process of its own.

    Parameters
    ----------
    X : array of shape (n_samples, n_features), float32 or float64
        Of more than 50 features the first 50 principal components are taken.
    seed : int
        The same seed gives the same layout, on the same machine and with the same libraries.

    Raises
    ------
    MissingExtraError
        umap-learn is not installed.
    DataError
        Fewer than three samples, no feature differs between them, or UMAP fails.

    References
    ----------
    McInnes et al. 2018, arXiv:1802.03426; 15 neighbours, least distance 0.1. Differs: principal
    components first.
    """
    if find_spec("umap") is None:
        need("umap", extra="map")
    first = principal_components(X, n=FIRST, seed=seed)
    points = _in_own_process(first.points.astype(np.float32), seed)
    return Embedding(points, (float(sum(first.explained)),))


def _in_own_process(X: NDArray[np.float32], seed: int) -> NDArray[np.float64]:
    """Run UMAP; what it and its compiler take, half a GB, goes with the process."""
    given = io.BytesIO()
    np.save(given, X)
    command = [sys.executable, "-m", "fstore.queries.methods.umap_process", str(seed)]
    done = subprocess.run(  # noqa: S603 - this very program, and a number
        command, input=given.getvalue(), capture_output=True, check=False
    )
    if done.returncode:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise DataError(f"UMAP ended with status {done.returncode}: {''.join(last)}")
    points: NDArray[np.float64] = np.load(io.BytesIO(done.stdout), allow_pickle=False)
    return points
