"""Speed of extraction over real JPEGs, against loops that do less or store otherwise.

    python benchmarks/extract.py --images DIR [--network caffenet] [--cores 2] [--count 512]
    python benchmarks/extract.py --images DIR --network squeezenet --encode-only
    python benchmarks/extract.py --images DIR --peer --count 256

In every round, one after another in this process, with the same decoding, prefetching, batches
and threads:

- ``bare``: decode, forward, nothing kept;
- ``fstore``: ``extract --layer all`` into a new store, planning and commits included;
- ``npy``: the bare loop with each layer's maps written into one .npy file a layer;
- ``hdf5``: the same into one HDF5 file (chunks a sample, no compression).

Prints the median of each, and of its CPU over that of ``bare`` in the same round.

``--encode-only`` writes ready responses of a few batches as shards, with as many encoders as cores,
for one core and for ``--cores``. ``--peer`` is ResNet-18, four stages: thingsvision's way
(``_peers.py``) and ours, in turn, each in a process of its own.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "0")  # as `fstore extract` does, for all loops

import numpy as np
import torch

from fstore import workflows
from fstore.extractor.choosing import choose_layers
from fstore.extractor.devices import keep_freed_memory, make_runners
from fstore.extractor.extract import extract as run_network
from fstore.extractor.loading import InputBatch, InputSample, load_batches
from fstore.extractor.networks import Network
from fstore.extractor.taps import Taps
from fstore.store import Store
from fstore.store.encoders import Encoders
from fstore.store.files import Identity, Partition
from fstore.store.sink import write_shard
from fstore.types import ActivationBatch
from fstore.workflows.extract import run as extraction

BATCH = 32
NETWORKS = {
    "caffenet": ("caffenet", "all"),
    "squeezenet": ("squeezenet-v1.0", "all"),
    "resnet18": ("torchvision:resnet18", "layer?"),
    "vit_b_16": ("torchvision:vit_b_16", "encoder.layers.encoder_layer_*"),
}
"""What each is called here, and its layers."""
EVERY_CORE = os.sched_getaffinity(0)
Measured = tuple[float, float, int]  # wall seconds, CPU seconds, bytes written


def inputs(images: Path, names: list[str], network: Network) -> Iterator[InputBatch]:
    """Yield the same batches that extraction sees."""
    samples = [InputSample(i, name, "", None) for i, name in enumerate(names)]
    cut = [samples[i : i + BATCH] for i in range(0, len(samples), BATCH)]
    workers = len(os.sched_getaffinity(0))
    return load_batches(images, cut, network.preprocess, workers=workers)


def loaded(images: Path, names: list[str], network: Network) -> Iterator[torch.Tensor]:
    """Yield their images."""
    for batch in inputs(images, names, network):
        yield torch.from_numpy(batch.images)


def taps_of(network: Network) -> Taps:
    """Return the taps that extraction has."""
    word = next(word for name, word in NETWORKS.values() if name == network.name)
    return Taps(network, list(choose_layers(network, [word]).layers))


def bare(images: Path, names: list[str], network: Network, _out: Path) -> int:
    """Run every layer that extraction runs, keep nothing."""
    taps = taps_of(network)
    for x in loaded(images, names, network):
        taps.run(x, lambda _layer, _output: None)
    return 0


def npy(images: Path, names: list[str], network: Network, out: Path) -> int:
    """Write one memory-mapped .npy file a layer."""
    taps = taps_of(network)
    files = {
        s.name: np.lib.format.open_memmap(
            out / f"{s.name}.npy", "w+", np.float32, (len(names), s.channels, s.positions)
        )
        for s in taps.specs
    }
    at = 0
    for x in loaded(images, names, network):

        def write(layer: str, output: torch.Tensor, at: int = at) -> None:
            file = files[layer]
            file[at : at + len(output)] = output.reshape(-1, *file.shape[1:]).numpy()

        taps.run(x, write)
        at += len(x)
    for file in files.values():
        file.flush()
    return sum(f.stat().st_size for f in out.iterdir())


def hdf5(images: Path, names: list[str], network: Network, out: Path) -> int:
    """Write one HDF5 file, a data set a layer."""
    import h5py

    taps = taps_of(network)
    with h5py.File(out / "features.h5", "w") as file:
        for s in taps.specs:
            shape = (len(names), s.channels, s.positions)
            file.create_dataset(s.name, shape, np.float32, chunks=(1, *shape[1:]))
        at = 0
        for x in loaded(images, names, network):

            def write(layer: str, output: torch.Tensor, at: int = at) -> None:
                data = output.reshape(len(output), *file[layer].shape[1:]).numpy()
                file[layer][at : at + len(output)] = data

            taps.run(x, write)
            at += len(x)
    return (out / "features.h5").stat().st_size


def fstore(images: Path, names: list[str], network: Network, out: Path) -> int:
    """Extract into a store."""
    del images, names
    word = next(word for name, word in NETWORKS.values() if name == network.name)
    store = Store.open(out / "store")
    options = extraction.ExtractionOptions(batch_size=BATCH)
    summary = extraction.extract(store, layers=[word], ckpts=["random"], options=options)
    print(
        f"fstore: {summary.seconds:.1f} s, waited {summary.images_s:.1f} s for images, "
        f"{summary.forward_s:.1f} s in the network, {summary.writer_s:.1f} s for the writer, "
        f"which encoded {summary.encode_s:.1f} s"
    )
    return summary.bytes


def measure(run: Callable[[], int]) -> Measured:
    """Time one loop."""
    wall, cpu = time.perf_counter(), time.process_time()
    size = run()
    return time.perf_counter() - wall, time.process_time() - cpu, size


def set_cores(cores: int) -> None:
    """Have this process, and torch, use so many cores."""
    os.sched_setaffinity(0, sorted(EVERY_CORE)[:cores])
    torch.set_num_threads(cores)


def encode_only(
    images: Path, names: list[str], network: Network, *, given: argparse.Namespace
) -> None:
    """Write ready responses as one shard, a few times, and print images a second by cores."""
    taps = taps_of(network)
    (runner,) = make_runners(
        network, [s.name for s in taps.specs], devices=[torch.device("cpu")],
        precision="tf32", compute="float32",
    )  # fmt: skip
    ready: list[ActivationBatch] = [
        batch for batch, _ in run_network(inputs(images, names, network), [runner]) if batch
    ]
    n = sum(len(batch.sample_ids) for batch in ready)
    identities = {
        Partition("n", "c", "d", "image", s.name): Identity({"weights": "ready"})
        for s in taps.specs
    }
    print(f"{n} images of {network.name}, ready responses, medians of {given.rounds} rounds")
    print()
    print("| cores | images/s | ms CPU/image |")
    print("| ---: | ---: | ---: |")
    rates = {}
    for cores in sorted({1, given.cores}):
        set_cores(cores)
        found = [measure(lambda c=cores: _write(ready, identities, c)) for _ in range(given.rounds)]
        wall, cpu, _ = (statistics.median(column) for column in zip(*found, strict=True))
        rates[cores] = n / wall
        print(f"| {cores} | {n / wall:.1f} | {cpu / n * 1e3:.1f} |")
    print()
    for cores, rate in rates.items():
        print(
            f"on paper, 16 cores at the speed of each of {cores}: {16 / cores * rate:.0f} images/s"
        )


def _write(
    ready: list[ActivationBatch], identities: dict[Partition, Identity], encoders: int
) -> int:
    with tempfile.TemporaryDirectory() as folder, Encoders(encoders) as threads:
        store = Store.create(Path(folder) / "store")
        return write_shard(store.place, ready, identities, encoders=threads).bytes


def peer(images: Path, work: Path, *, given: argparse.Namespace) -> None:
    """Run thingsvision's way and ours in turn, and print the medians."""
    found: dict[str, list[dict[str, float]]] = {"thingsvision": [], "fstore": []}
    script = str(Path(__file__).with_name("_peers.py"))
    for number in range(given.rounds):
        for way, runs in found.items():
            out = work / f"{way}{number}"
            out.mkdir()
            words = [sys.executable, script, way, str(images), str(out), str(given.cores)]
            done = subprocess.run(words, check=True, capture_output=True, text=True)
            runs.append(json.loads(done.stdout.splitlines()[-1]))
            shutil.rmtree(out)
    print("| ResNet-18, four stages | s wall | s CPU | GiB peak | MB written |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for way, runs in found.items():
        m = {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        print(
            f"| {way} | {m['wall_s']:.1f} | {m['cpu_s']:.1f} | {m['peak_gib']:.2f} | "
            f"{m['bytes'] / 1e6:.0f} |"
        )


def loops(
    prepared: Store, network: Network, names: list[str], *, images: Path, given: argparse.Namespace
) -> None:
    """Run the loops in turn and print them."""
    known = {"bare": bare, "fstore": fstore, "npy": npy, "hdf5": hdf5}
    variants = {name: known[name] for name in given.loops.split(",")}
    found: dict[str, list[Measured]] = {name: [] for name in variants}
    bare(images, names[: 2 * BATCH], network, images)  # warm up
    for number in range(given.rounds):
        for name, run in variants.items():
            out = images.parent / f"{name}{number}"
            out.mkdir()
            if name == "fstore":
                shutil.copytree(prepared.path, out / "store")
            found[name].append(measure(lambda r=run, o=out: r(images, names, network, o)))
            shutil.rmtree(out)
    report(found, len(names), network.name)


def options() -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=Path, required=True, help="folder with JPEG files")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--network", default="caffenet", choices=NETWORKS)
    parser.add_argument("--cores", type=int, default=len(EVERY_CORE))
    parser.add_argument("--encode-only", action="store_true", help="ready responses, no network")
    parser.add_argument("--peer", action="store_true", help="thingsvision's way beside ours")
    parser.add_argument("--loops", default="bare,fstore,npy,hdf5", help="which, of these")
    return parser.parse_args()


def main() -> None:
    """Measure and print."""
    given = options()
    set_cores(given.cores)
    chosen = sorted(given.images.rglob("*.jpg"))[: given.count]
    keep_freed_memory()  # as extraction does, so that all loops have it
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        images = work / "images"
        images.mkdir()
        for path in chosen:
            shutil.copy(path, images / path.name)
        names = [p.name for p in chosen]
        if given.peer:
            peer(images, work, given=given)
            return
        prepared = Store.create(work / "prepared")
        workflows.add_dataset(prepared, "images", "imagefolder", root=images)
        name, _ = NETWORKS[given.network]
        record = workflows.init_checkpoint(prepared, network=name, name="random")
        network = workflows.load_network(prepared, record)
        if given.encode_only:
            encode_only(images, names[:BATCH], network, given=given)
        else:
            loops(prepared, network, names, images=images, given=given)


def report(found: dict[str, list[Measured]], n_images: int, network: str) -> None:
    """Print a line a variant, as Markdown."""
    print(f"{n_images} JPEGs, {network}, CPU, {torch.get_num_threads()} threads, batch {BATCH}, ")
    print(f"medians of {len(found['bare'])} rounds")
    print()
    print("| loop | ms wall/image | over bare | ms CPU/image | over bare | KB/image |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    base = statistics.median(wall for wall, _, _ in found["bare"])
    for name, runs in found.items():
        wall, cpu, size = (statistics.median(column) for column in zip(*runs, strict=True))
        ratio = statistics.median(
            w / b for (w, _, _), (b, _, _) in zip(runs, found["bare"], strict=True)
        )
        work = statistics.median(
            c / b for (_, c, _), (_, b, _) in zip(runs, found["bare"], strict=True)
        )
        print(
            f"| {name} | {wall / n_images * 1e3:.1f} | {ratio:.2f} | "
            f"{cpu / n_images * 1e3:.1f} | {work:.2f} | {size / n_images / 1e3:.0f} |"
        )
    print()
    print(f"bare: {n_images / base:.1f} images/s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
