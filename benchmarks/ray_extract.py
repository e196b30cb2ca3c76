"""Speed of ``extract --engine ray`` against the local engine, both with one thread a network.

    python benchmarks/ray_extract.py --images DIR [--count 480] [--rounds 3] [--cores N]

In every round, one after another, each into a new store:

- ``local``: the local engine;
- ``ray 1``: one worker;
- ``ray 2``: two workers.

What Ray takes to start, and workers until the first is ready, is printed by itself and not counted.
Prints the median of the images a second of each, and the median of the ratios within a round. A
worker of one thread keeps more than one core busy, since it decodes and writes beside its network.
``--cores 1`` keeps all on one core, without two workers: what one worker of one core does.
"""

import argparse
import os
import shutil
import statistics
import tempfile
from pathlib import Path

import torch

from fstore import workflows
from fstore.engines import RayOptions
from fstore.store import Store
from fstore.workflows.engines import connected
from fstore.workflows.extract.run import ExtractionOptions, Summary, extract

WAYS: dict[str, RayOptions | None] = {
    "local": None,
    "ray 1": RayOptions(workers=1, threads=1),
    "ray 2": RayOptions(workers=2, threads=1),
}


def copy_images(images: Path, into: Path, count: int) -> Path:
    """Copy the first images, so that a data set of so many can be registered."""
    names = sorted(path for path in images.rglob("*") if path.suffix.lower() in {".jpg", ".jpeg"})
    for path in names[:count]:
        (into / "a").mkdir(parents=True, exist_ok=True)
        shutil.copy(path, into / "a" / path.name)
    return into


def measure(
    folder: Path, images: Path, network: str, *, ray: RayOptions | None, shard_mib: int
) -> Summary:
    """Fill a new store."""
    store = Store.create(folder)
    workflows.add_dataset(store, "d", "imagefolder", root=images, seeds=[0])
    workflows.init_checkpoint(store, network=network, name="random", seed=0)
    options = ExtractionOptions(device="cpu", workers=1, shard_bytes=shard_mib << 20, ray=ray)
    summary = extract(store, layers=["all"], ckpts=["random"], options=options)
    shutil.rmtree(folder)
    return summary


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, required=True)
    parser.add_argument("--count", type=int, default=480)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--network", default="caffenet")
    parser.add_argument("--shard-mib", type=int, default=192)
    parser.add_argument("--cores", type=int, help="Of this machine; all if not given.")
    given = parser.parse_args()
    if given.cores:
        os.sched_setaffinity(0, range(given.cores))
    torch.set_num_threads(1)
    ways = {w: r for w, r in WAYS.items() if not (r and given.cores and r.workers > given.cores)}
    speeds: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as scratch, connected(None) as cluster:
        images = copy_images(given.images, Path(scratch) / "images", given.count)
        print(f"Ray started in {cluster.seconds:.1f} s", flush=True)
        for number in range(given.rounds):
            for way, ray in ways.items():
                done = measure(
                    Path(scratch) / "store", images, given.network, ray=ray,
                    shard_mib=given.shard_mib,
                )  # fmt: skip
                speeds[way].append(done.images_per_s)
                print(
                    f"round {number} {way}: {done.images_per_s:.2f} images/s; "
                    f"workers ready after {done.start_s:.1f} s",
                    flush=True,
                )
    for way, values in speeds.items():
        print(f"{way}: {statistics.median(values):.2f} images/s")
    for one, other in (("ray 1", "local"), ("ray 2", "ray 1"), ("ray 2", "local")):
        if one not in speeds:
            continue
        ratios = [a / b for a, b in zip(speeds[one], speeds[other], strict=True)]
        print(f"{one} over {other}: {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
