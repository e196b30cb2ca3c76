"""Speed of extraction: CaffeNet over real JPEGs, against loops that do less or store otherwise.

    python benchmarks/extract.py --images DIR [--count 512] [--rounds 3]

In every round, one after another in this process, with the same decoding, prefetching, batches
and threads:

- ``bare``: decode, forward, nothing kept;
- ``fstore``: ``extract --layer all`` into a new store, planning and commits included;
- ``npy``: the bare loop with each layer's maps written into one .npy file a layer;
- ``hdf5``: the same into one HDF5 file (chunks a sample, no compression).

Prints the median of each, over the median of ``bare``.
"""

import argparse
import os
import resource
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the program does, for all loops

import numpy as np
import torch

from fstore import workflows
from fstore.extractor.devices import keep_freed_memory
from fstore.extractor.loading import InputSample, load_batches
from fstore.extractor.networks import Network
from fstore.extractor.taps import Taps
from fstore.store import Store
from fstore.workflows.extract import run as extraction

BATCH = 32
Measured = tuple[float, float, int]  # wall seconds, CPU seconds, bytes written


def loaded(images: Path, names: list[str], network: Network) -> Iterator[torch.Tensor]:
    """Yield the same batches that extraction sees."""
    samples = [InputSample(i, name, "", None) for i, name in enumerate(names)]
    cut = [samples[i : i + BATCH] for i in range(0, len(samples), BATCH)]
    workers = len(os.sched_getaffinity(0))
    for batch in load_batches(images, cut, network.preprocess, workers=workers):
        yield torch.from_numpy(batch.images)


def bare(images: Path, names: list[str], network: Network, _out: Path) -> int:
    """Run every layer that extraction runs, keep nothing."""
    taps = Taps(network)
    for x in loaded(images, names, network):
        taps.run(x, lambda _layer, _output: None)
    return 0


def npy(images: Path, names: list[str], network: Network, out: Path) -> int:
    """Write one memory-mapped .npy file a layer."""
    taps = Taps(network)
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

    taps = Taps(network)
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


def fstore(images: Path, names: list[str], _network: Network, out: Path) -> int:
    """Extract into a store."""
    del images, names
    store = Store.open(out / "store")
    options = extraction.ExtractionOptions(batch_size=BATCH)
    summary = extraction.extract(store, layers=["all"], ckpts=["random"], options=options)
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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=Path, required=True, help="folder with JPEG files")
    parser.add_argument("--count", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--loops", default="bare,fstore,npy,hdf5", help="which, of these")
    given = parser.parse_args()
    chosen = sorted(given.images.rglob("*.jpg"))[: given.count]
    known = {"bare": bare, "fstore": fstore, "npy": npy, "hdf5": hdf5}
    variants = {name: known[name] for name in given.loops.split(",")}
    found: dict[str, list[Measured]] = {name: [] for name in variants}
    keep_freed_memory()  # as extraction does, so that all loops have it
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        images = work / "images"
        images.mkdir()
        for path in chosen:
            shutil.copy(path, images / path.name)
        names = [p.name for p in chosen]
        prepared = Store.create(work / "prepared")
        workflows.add_dataset(prepared, "images", "imagefolder", root=images)
        record = workflows.init_checkpoint(prepared, network="caffenet", name="random")
        network = workflows.load_network(prepared, record)
        bare(images, names[: 2 * BATCH], network, work)  # warm up
        for number in range(given.rounds):
            for name, run in variants.items():
                out = work / f"{name}{number}"
                out.mkdir()
                if name == "fstore":
                    shutil.copytree(prepared.path, out / "store")
                found[name].append(measure(lambda r=run, o=out: r(images, names, network, o)))
                shutil.rmtree(out)
    report(found, len(names))


def report(found: dict[str, list[Measured]], n_images: int) -> None:
    """Print a line a variant, as Markdown."""
    print(f"{n_images} JPEGs, CaffeNet, CPU, {torch.get_num_threads()} threads, batch {BATCH}, ")
    print(f"medians of {len(found['bare'])} rounds")
    print()
    print("| loop | ms wall/image | over bare | ms CPU/image | KB/image |")
    print("| --- | ---: | ---: | ---: | ---: |")
    base = statistics.median(wall for wall, _, _ in found["bare"])
    for name, runs in found.items():
        wall, cpu, size = (statistics.median(column) for column in zip(*runs, strict=True))
        ratio = statistics.median(
            w / b for (w, _, _), (b, _, _) in zip(runs, found["bare"], strict=True)
        )
        print(
            f"| {name} | {wall / n_images * 1e3:.1f} | {ratio:.2f} | "
            f"{cpu / n_images * 1e3:.1f} | {size / n_images / 1e3:.0f} |"
        )
    print()
    print(f"bare: {n_images / base:.1f} images/s")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"peak memory of this process: {peak:.2f} GiB")


if __name__ == "__main__":
    main()
