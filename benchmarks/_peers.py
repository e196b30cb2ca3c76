"""Another library's way to extract, as a process of its own: thingsvision's, written out here.

    python benchmarks/_peers.py thingsvision|fstore IMAGES OUT CORES

A pass over the images a layer, by a forward hook; all responses of the layer in memory, then one
.npy file. Prints CPU seconds, peak memory in GiB and bytes written, as JSON.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "0")

import numpy as np
import torch

from fstore import workflows
from fstore.extractor.loading import InputSample, load_batches
from fstore.store import Store
from fstore.workflows.extract import run as extraction

BATCH = 32
NETWORK = "torchvision:resnet18"
LAYERS = ["layer1", "layer2", "layer3", "layer4"]


def hooks(images: Path, out: Path, cores: int) -> int:
    """Extract layer after layer, keep each in memory, save it."""
    store = Store.create(out / "unused")
    record = workflows.init_checkpoint(store, network=NETWORK, name="random")
    network = workflows.load_network(store, record)
    samples = [InputSample(i, p.name, "", None) for i, p in enumerate(sorted(images.iterdir()))]
    cut = [samples[i : i + BATCH] for i in range(0, len(samples), BATCH)]
    for layer in LAYERS:
        kept: list[np.ndarray] = []
        hook = network.model.get_submodule(layer).register_forward_hook(
            lambda _module, _given, output, kept=kept: kept.append(output.flatten(1).numpy())
        )
        with torch.inference_mode():
            for batch in load_batches(images, cut, network.preprocess, workers=cores):
                network.model(torch.from_numpy(batch.images))
        hook.remove()
        np.save(out / f"{layer}.npy", np.concatenate(kept))
    return sum(f.stat().st_size for f in out.glob("*.npy"))


def ours(images: Path, out: Path, _cores: int) -> int:
    """Extract into a store, all layers in one pass."""
    store = Store.create(out / "store")
    workflows.add_dataset(store, "images", "imagefolder", root=images)
    workflows.init_checkpoint(store, network=NETWORK, name="random")
    options = extraction.ExtractionOptions(batch_size=BATCH)
    return extraction.extract(store, layers=LAYERS, ckpts=["random"], options=options).bytes


def main() -> None:
    """Do one and print what it took."""
    way, images, out, cores = sys.argv[1:]
    torch.set_num_threads(int(cores))
    began, cpu = time.perf_counter(), time.process_time()
    size = {"thingsvision": hooks, "fstore": ours}[way](Path(images), Path(out), int(cores))
    found = {
        "wall_s": time.perf_counter() - began,
        "cpu_s": time.process_time() - cpu,
        "peak_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
        "bytes": size,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
