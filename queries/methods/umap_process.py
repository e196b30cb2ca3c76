"""UMAP as a program: a matrix comes in as ``.npy``, places in a plane go out as such."""

import io
import sys
import warnings

import numpy as np
from numpy.typing import NDArray

__all__ = ["laid_out", "main"]

NEIGHBOURS = 15
"""UMAP's own default."""


def laid_out(X: NDArray[np.float32], *, seed: int) -> NDArray[np.float64]:
    """Return UMAP's places, shape (n_samples, 2); the same seed gives the same ones."""
    import umap

    # a spectral start needs more samples than a handful
    start = "spectral" if len(X) > NEIGHBOURS else "random"
    layout = umap.UMAP(
        n_neighbors=min(NEIGHBOURS, len(X) - 1), random_state=seed, n_jobs=1, init=start
    )
    return np.asarray(layout.fit_transform(X), dtype=np.float64)


def main() -> None:
    """Read the matrix from standard input; the seed is the argument."""
    warnings.simplefilter("ignore")  # numba's
    X = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    out = io.BytesIO()
    np.save(out, laid_out(X, seed=int(sys.argv[1])))
    sys.stdout.buffer.write(out.getvalue())


if __name__ == "__main__":
    main()
