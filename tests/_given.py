"""A small store of real extractions with a network of somebody's own, and how to make it."""

from pathlib import Path

import numpy as np
from PIL import Image

import fstore
from _cli import run
from fstore.store import Store
from fstore.workflows import init_checkpoint

__all__ = ["NETS", "Given"]

NETS = """
from pathlib import Path
from torch import nn
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess

def small(classes=2):
    Path(__file__).with_name("ran").touch()
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                          nn.Linear(4, classes))
    return Network("x", model, Preprocess(size=8, resize=8), {"conv": "1"})
"""

STUDY = """
name = "theirs"
network = "{network}"
layers = ["conv"]
pretrained = "c"
[classification]
dataset = "d"
"""


class Given:
    """A store of a stranger's, opened by somebody who has agreed to nothing."""

    def __init__(self, folder: Path) -> None:
        self.nets = folder / "nets.py"
        self.nets.write_text(NETS)
        self.network = f"{self.nets}:small"
        for i in range(8):
            path = folder / "images" / "ab"[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.random.default_rng(i).integers(0, 255, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(path)
        theirs = fstore.create(folder / "store")
        theirs.add_dataset("d", folder / "images", format="imagefolder", seeds=[0])
        init_checkpoint(theirs, network=self.network, name="c")
        theirs.extract(["conv"], "c", "d", part="train")
        theirs.extract(["conv"], "c", "d")  # so that they are two files
        self.study = folder / "study.toml"
        self.study.write_text(STUDY.format(network=self.network))
        assert run(theirs, "study", "set", str(self.study)).exit_code == 0
        self.store = Store.open(folder / "store")
        self.forget()

    @property
    def ran(self) -> bool:
        """Whether the stranger's function was called since the last :meth:`forget`."""
        return self.nets.with_name("ran").exists()

    def forget(self) -> None:
        """Take the trace of an earlier call away."""
        self.nets.with_name("ran").unlink(missing_ok=True)
