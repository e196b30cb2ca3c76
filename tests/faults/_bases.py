"""Small stores, and the commands that are killed over them."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from _build import add_checkpoint, build, put
from _detection import make_scenes
from _devkit import write_devkit
from _tuned import STUDY, make_tuned
from fstore import workflows
from fstore.queries.studies.study import set_study
from fstore.store import Store

__all__ = ["BASES", "Base", "make_noise", "named"]


@dataclass(frozen=True)
class Base:
    """A command, and the store that it is run over."""

    name: str
    make: Callable[[Path], None]
    words: tuple[str, ...]


def make_noise(path: Path | str, folder: Path | None = None) -> None:
    """Make a store of twelve pictures and a network of random weights."""
    folder = folder or Path(path).parent / "images"
    if not folder.exists():
        draw_pictures(folder)
    store = Store.create(path)
    workflows.add_dataset(store, "noise", "imagefolder", root=folder, seeds=[0])
    workflows.init_checkpoint(store, network="caffenet-mini", name="random", seed=3)


def draw_pictures(folder: Path) -> None:
    """Draw twelve pictures of two classes."""
    from PIL import Image

    random = np.random.default_rng(7)
    for i in range(12):
        pixels = random.integers(0, 256, size=(6, 6, 3), dtype=np.uint8)
        file = folder / "ab"[i % 2] / f"{i:03d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).resize((70, 60), Image.Resampling.BICUBIC).save(file)


def make_study(path: Path) -> None:
    """Make a store whose features have classes, and a study of it."""
    set_study(make_tuned(path).store, STUDY)


def make_litter(path: Path) -> None:
    """Make a store with what interrupted work leaves behind, and with dropped checkpoints."""
    store = build(path, ("5", "15")).store
    data = next(path.rglob("layer=fc/*.parquet"))
    for i in range(40):
        orphan = data.with_name(data.name.replace("-", f"-{i:02d}", 1))
        orphan.write_bytes(data.read_bytes())
        os.utime(orphan, (0, 0))
        half = path / "activations" / f"{i:012x}.parquet.tmp"
        half.write_bytes(b"1234")
        os.utime(half, (0, 0))
    for name in ("a", "b"):
        add_checkpoint(store, "net", name)
        store.drop(network="net", ckpt=name, checkpoint=True)


def make_devkit(path: Path) -> None:
    """Make a store of pictures with boxes."""
    shapes = {f"{i:02d}": [("cat", (11 + i, 11, 50 + i, 40), 0)] for i in range(16)}
    root = write_devkit(path.parent / "devkit", shapes, {f"{i:02d}": "train" for i in range(16)})
    workflows.add_dataset(Store.create(path), "d", "voc", root=root, seeds=[0])


def make_regions(path: Path) -> None:
    """Make a store of proposals with features."""
    make_scenes(path)


def make_two(path: Path) -> None:
    """Make a store of two checkpoints, of which one can be dropped."""
    build(path, ("5", "15"))


def make_small_files(path: Path) -> None:
    """Make a store whose layers lie in a file a sample."""
    built = build(path)
    for layer, values in built.values.items():
        where = built.partition(layer, "15")
        for i in range(len(values)):
            put(built.store, where, values[i : i + 1], sample_ids=[i])


BASES = (
    Base("extract", make_noise, ("extract", "--layer", "conv5", "--layer", "fc7", "--ckpt",
         "random", "--batch-size", "3", "--workers", "1", "--shard-mib", "1")),
    Base("train", make_noise, ("train", "pretrain", "--network", "caffenet-mini", "--dataset",
         "noise", "--iterations", "6", "--snapshots", "2,4,6", "--batch-size", "4", "--save-every",
         "1", "--workers", "1")),
    Base("report refresh", make_study, ("report", "refresh", "table1", "table2", "table4")),
    Base("gc", make_litter, ("gc", "--older-than", "0")),
    Base("proposals", make_devkit, ("proposals", "--dataset", "d", "--method", "components",
         "--workers", "1")),
    Base("detect train", make_regions, ("detect", "train", "--layer", "conv", "--ckpt", "5",
         "--dataset", "d", "--name", "x")),
    Base("compact", make_small_files, ("compact",)),
    Base("drop", make_two, ("drop", "--ckpt", "5", "--yes")),
)  # fmt: skip


def named(name: str) -> Base:
    """Return the command of a name, with its store."""
    return next(base for base in BASES if base.name == name)
