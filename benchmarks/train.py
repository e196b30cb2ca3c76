"""Speed of training, against bare torch loops over the same images.

    python benchmarks/train.py [--network caffenet-mini] [--iterations 40] [--rounds 5]

The images are Tiny ImageNet's under ``$FSTORE_REAL_DATA/tinyimagenet/train``, or generated JPEGs
where that is not set. In every round, one after another in this process, so that whatever else
the machine does meets all of them:

- ``fstore``: ``train`` over image files that are decoded for every draw;
- ``fstore, kept``: the same with decoded images kept in memory, as it does if they fit;
- ``bare``: torch's DataLoader with as many worker processes, the same decoding, crop, mirroring
  and batch, ``torch.optim.SGD``, nothing else;
- ``memory``: the bare loop over batches that are in memory as tensors.

Speeds are of the iterations after the first ones, in which workers start; CPU time is all that a
loop and its workers took, for each image it saw. Prints the medians, and the median over the
rounds of the speed of ``fstore`` over that of each other loop. On a machine that is busy with
other work, speeds swing and CPU time tells more.
"""

import argparse
import copy
import gc
import os
import resource
import statistics
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as the program does, for all loops

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset

from fstore.extractor.devices import keep_freed_memory
from fstore.extractor.images import digest_bytes, load_sample
from fstore.extractor.networks import Network, build_network
from fstore.extractor.training import FileExamples, Recipe, TrainingData, train

SKIPPED = 3  # first iterations, in which workers start and caches fill


@dataclass(frozen=True)
class Setting:
    """What all loops have in common."""

    network: Network
    recipe: Recipe
    root: Path
    uris: list[str]
    digests: list[str]
    labels: np.ndarray[Any, np.dtype[np.int64]]
    workers: int
    iterations: int


Measured = tuple[float, float]  # images/s, ms of CPU an image


def cpu_s() -> float:
    """CPU seconds of this process and of its workers that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def measure(setting: Setting, run: Callable[[], float], seen: int) -> Measured:
    """Return a loop's speed and CPU time; ``seen`` iterations count for the latter."""
    before = cpu_s()
    speed = run()
    return speed, 1e3 * (cpu_s() - before) / (seen * setting.recipe.batch_size)


def images_per_s(setting: Setting, ends: list[float]) -> float:
    """Images a second from the ends of the iterations."""
    return setting.recipe.batch_size * (len(ends) - SKIPPED) / (ends[-1] - ends[SKIPPED - 1])


def fstore(setting: Setting, cache_bytes: int, warm: int = 0) -> float:
    """Train as the program does; ``warm`` iterations come before those that count."""
    examples = FileExamples(
        setting.root, setting.uris, setting.digests,
        labels=setting.labels, preprocess=setting.network.preprocess,
        cache_bytes=cache_bytes, workers=setting.workers,
    )  # fmt: skip
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in train(
            setting.network, TrainingData(examples, examples), recipe=setting.recipe,
            iterations=warm + setting.iterations, snapshots=[], seed=0, state_dir=Path(folder),
            on_step=lambda _step: ends.append(perf_counter()),
        ):  # fmt: skip
            pass
    return images_per_s(setting, ends[warm:])


class Files(Dataset[tuple[Tensor, int]]):
    """The image files, decoded, cropped and mirrored at random."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        preprocess = setting.network.preprocess
        self.size = preprocess.size
        self.whole = replace(preprocess, size=preprocess.resize)

    def __len__(self) -> int:
        return len(self.setting.uris)

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        s = self.setting
        image = torch.from_numpy(
            load_sample(s.root, s.uris[place], None, preprocess=self.whole, digest=s.digests[place])
        )
        margin = image.shape[-1] - self.size
        y, x = torch.randint(0, margin + 1, (2,)).tolist()
        image = image[:, y : y + self.size, x : x + self.size]
        if s.recipe.mirror and torch.rand(()) < 0.5:
            image = image.flip(2)
        return image, int(s.labels[place])


def endless(loader: Iterable[Any]) -> Iterator[Any]:
    """Yield a loader's batches, epoch after epoch."""
    while True:
        yield from loader


def loop(setting: Setting, batches: Iterator[tuple[Tensor, Tensor]]) -> float:
    """Update a copy of the network for each batch, nothing else."""
    recipe = setting.recipe
    model = copy.deepcopy(setting.network.model).train()
    sgd = torch.optim.SGD(
        model.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
    )
    ends = []
    for x, y in islice(batches, setting.iterations):
        loss = functional.cross_entropy(model(x), y)
        sgd.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        sgd.step()
        ends.append(perf_counter())
    return images_per_s(setting, ends)


def bare(setting: Setting) -> float:
    """Loop over a DataLoader."""
    loader = DataLoader(
        Files(setting), batch_size=setting.recipe.batch_size, shuffle=True, drop_last=True,
        num_workers=setting.workers, persistent_workers=True,
    )  # fmt: skip
    speed = loop(setting, endless(loader))
    del loader  # its workers end, so that their CPU time is known
    gc.collect()
    return speed


def memory(setting: Setting) -> float:
    """Loop over four batches that are in memory."""
    size = setting.network.preprocess.size
    n = setting.recipe.batch_size
    drawn = torch.Generator().manual_seed(0)
    batches = [
        (torch.randn(n, 3, size, size, generator=drawn), torch.from_numpy(setting.labels[:n]))
        for _ in range(4)
    ]
    return loop(setting, endless(batches))


def image_folder(folder: Path) -> Path:
    """Return Tiny ImageNet's folder, or one of generated JPEGs of 64x64 pixels."""
    real = os.environ.get("FSTORE_REAL_DATA")
    if real and (found := Path(real) / "tinyimagenet" / "train").is_dir():
        return found
    rng = np.random.default_rng(0)
    for i in range(1000):
        path = folder / f"class{i % 10}" / f"{i}.jpg"
        path.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64), Image.Resampling.BICUBIC).save(path, quality=90)
    return folder


def set_up(given: argparse.Namespace, folder: Path) -> Setting:
    """Find images and build the network."""
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in {".jpg", ".jpeg"})
    classes = sorted({p.parent.name for p in files})
    torch.manual_seed(0)
    network = build_network(given.network, classes=len(classes))
    changes = {"batch_size": given.batch_size, "mirror": True, "lr": 1e-3}
    return Setting(
        network=network,
        recipe=Recipe.from_defaults(network.recipe, **changes),
        root=folder,
        uris=[p.relative_to(folder).as_posix() for p in files],
        digests=[digest_bytes(p.read_bytes()) for p in files],
        labels=np.array([classes.index(p.parent.name) for p in files]),
        workers=given.workers,
        iterations=given.iterations,
    )


def report(setting: Setting, found: dict[str, list[Measured]]) -> None:
    """Print a line a loop, as Markdown."""
    s = setting
    print(
        f"{s.network.name}, batch {s.recipe.batch_size}, {len(s.uris)} JPEGs, {s.workers} workers, "
        f"{torch.get_num_threads()} threads; medians of {len(found['fstore'])} rounds of "
        f"{s.iterations} iterations\n"
    )
    print("| loop | images/s | fstore over it | of all rounds | ms CPU/image |")
    print("| --- | ---: | ---: | ---: | ---: |")
    ours = [speed for speed, _ in found["fstore"]]
    for name, measured in found.items():
        speeds, cpu = zip(*measured, strict=True)
        ratios = [own / speed for own, speed in zip(ours, speeds, strict=True)]
        print(
            f"| {name} | {statistics.median(speeds):.1f} | {statistics.median(ratios):.2f} "
            f"| {min(ratios):.2f} to {max(ratios):.2f} | {statistics.median(cpu):.2f} |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--network", default="caffenet-mini")
    parser.add_argument("--batch-size", type=int, help="default: the network's own")
    parser.add_argument("--iterations", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    given = parser.parse_args()
    if given.iterations <= SKIPPED:
        parser.error(f"--iterations must be over {SKIPPED}: the first {SKIPPED} do not count")
    keep_freed_memory()  # as training does, so that all loops have it
    with tempfile.TemporaryDirectory() as folder:
        setting = set_up(given, image_folder(Path(folder)))
        epoch = -(-len(setting.uris) // setting.recipe.batch_size)
        loops: dict[str, Callable[[], float]] = {
            "fstore": lambda: fstore(setting, cache_bytes=0),
            "bare": lambda: bare(setting),
            "memory": lambda: memory(setting),
            "fstore, kept": lambda: fstore(setting, cache_bytes=1 << 40, warm=epoch),
        }
        found: dict[str, list[Measured]] = {name: [] for name in loops}
        for _ in range(given.rounds):
            for name, run in loops.items():
                seen = given.iterations + (epoch if name == "fstore, kept" else 0)
                found[name].append(measure(setting, run, seen))
    report(setting, found)


if __name__ == "__main__":
    main()
