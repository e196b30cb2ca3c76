"""Fixtures of the Python API's tests: handwritten digits through a small network."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

import fstore

LAYERS = ("conv5", "fc7")


@pytest.fixture(scope="session")
def digit_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of 200 digits, 20 in each of ten class folders."""
    root = tmp_path_factory.mktemp("digits")
    images, classes = load_digits(return_X_y=True)
    for digit in range(10):
        (root / str(digit)).mkdir()
        for n in np.flatnonzero(classes == digit)[:20]:
            pixels = (images[n].reshape(8, 8) * (255 / 16)).astype(np.uint8)
            Image.fromarray(pixels).resize((32, 32)).save(root / str(digit) / f"{n:04d}.png")
    return root


@pytest.fixture(scope="session")
def digits(digit_files: Path, tmp_path_factory: pytest.TempPathFactory) -> fstore.Store:
    """Return a store, which no test changes: the digits with one random split, two layers."""
    store = fstore.create(tmp_path_factory.mktemp("api") / "store")
    store.add_dataset("digits", digit_files, format="imagefolder", seeds=(3,))
    store.init_checkpoint(network="caffenet-mini", name="random", seed=0)
    store.extract(LAYERS, "random", "digits", device="cpu", precision="float32")
    return store
