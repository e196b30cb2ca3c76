"""Speed of the explorer on 10 checkpoints x 7 layers x 5,000 images: first bytes, a filter's page.

    python benchmarks/explore.py [--images 5000] [--checkpoints 10] [--rounds 5] [--keep FOLDER]

The images are files: photos of $FSTORE_REAL_DATA where it is set, and drawn ones. The responses are
drawn, with CaffeNet's numbers of filters, the paper's densities, and small maps. The server is a
process of its own. *Warm* is the median of the rounds after the first; *whole page* is a page with
every picture and part that it loads, from Chromium, with an empty cache.
"""

import argparse
import html
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import numpy as np
import psutil
from _synthetic import CLASSES, DENSITIES, multi_labels, responses
from PIL import Image
from safetensors.numpy import save_file

from fstore.pixels.image_files import digest_bytes
from fstore.store import Store
from fstore.store.encoders import Encoders
from fstore.store.files import Identity, Partition
from fstore.store.sink import write_shard
from fstore.store.weights import tensor_sums
from fstore.types import (
    ActivationBatch,
    CheckpointRecord,
    DatasetManifest,
    LayerSpec,
    SampleRecord,
    Split,
    ViewManifest,
)

NETWORK, DATASET = "synthetic", "photos"
SHAPES = {
    "conv1": (96, 7, 7), "conv2": (256, 5, 5), "conv3": (384, 4, 4), "conv4": (384, 4, 4),
    "conv5": (256, 4, 4), "fc6": (4096, 1, 1), "fc7": (4096, 1, 1),
}  # fmt: skip
SHARD = 1000
PREPROCESSING = (
    '{"size": 227, "resize": 227, "resize_mode": "warp", "order": "BGR", "scale": 1.0, '
    '"mean": [104.0, 117.0, 123.0], "std": [1.0, 1.0, 1.0], "context": 16}'
)


def pictures(folder: Path, n_images: int) -> list[tuple[str, int, int]]:
    """Make the image files; return their names and sizes."""
    folder.mkdir(parents=True)
    real = os.environ.get("FSTORE_REAL_DATA")
    photos = sorted(Path(real).glob("voc/VOCdevkit/VOC2007/JPEGImages/*.jpg")) if real else []
    random = np.random.default_rng(0)
    told = []
    for i in range(n_images):
        path = folder / f"{i:05d}.jpg"
        if i < len(photos):
            shutil.copy(photos[i], path)
        else:
            small = random.integers(0, 255, (6, 8, 3), dtype=np.uint8)
            Image.fromarray(small).resize((500, 375), Image.Resampling.BICUBIC).save(path)
        with Image.open(path) as image:
            told.append((path.name, *image.size))
    return told


def build(folder: Path, *, n_images: int, n_ckpts: int) -> Store:
    """Write the store."""
    root = folder / "images"
    made = pictures(root, n_images)
    Y = multi_labels(n_images)
    samples = tuple(
        SampleRecord(
            name,
            name,
            digest_bytes((root / name).read_bytes()),
            width,
            height,
            {c: 1 for c, y in zip(CLASSES, Y[i], strict=True) if y > 0},
        )
        for i, (name, width, height) in enumerate(made)
    )
    parts = tuple(("train", "val", "test", "test")[i % 4] for i in range(n_images))
    store = Store.create(folder / "store")
    view = ViewManifest("image", samples, (Split("official", 0, parts),))
    store.register_dataset(DatasetManifest(DATASET, "multi", CLASSES, root, (view,)))
    specs = [
        LayerSpec(name, c, h, w, "fc" if h * w == 1 else "conv", i, f"{name} of a benchmark")
        for i, (name, (c, h, w)) in enumerate(SHAPES.items())
    ]
    store.add_layers(NETWORK, specs)
    for number in range(n_ckpts):
        checkpoint(store, folder, number)
        fill(store, number, n_images)
        print(f"checkpoint {number} written", file=sys.stderr)
    return store


def checkpoint(store: Store, folder: Path, number: int) -> None:
    """Register a checkpoint that has a first layer over RGB, and nothing else."""
    weights = np.random.default_rng(number).normal(size=(96, 3, 11, 11)).astype(np.float32)
    save_file({"conv1.weight": weights}, folder / "w.safetensors")
    parent = f"it{number - 1}" if number else None
    record = CheckpointRecord(
        NETWORK,
        f"it{number}",
        iteration=1000 * number,
        parent=parent,
        preprocessing=PREPROCESSING,
        sha256=tensor_sums(folder / "w.safetensors").weights,
    )
    store.register_checkpoint(record, folder / "w.safetensors")


def fill(store: Store, number: int, n_images: int) -> None:
    """Write the responses of a checkpoint."""
    random = np.random.default_rng(100 + number)
    identities = {
        Partition(NETWORK, f"it{number}", DATASET, "image", layer): Identity(
            {"weights": f"it{number}", "samples": DATASET}
        )
        for layer in SHAPES
    }
    for start in range(0, n_images, SHARD):
        ids = np.arange(start, min(start + SHARD, n_images), dtype=np.int64)
        layers = {
            layer: responses(random, len(ids), shape, DENSITIES[layer])
            for layer, shape in SHAPES.items()
        }
        with Encoders(2) as encoders:
            batch = ActivationBatch(ids, layers)
            write_shard(store.place, [batch], identities, encoders=encoders)


@contextmanager
def server(store: Path) -> Iterator[tuple[str, psutil.Process]]:
    """Run the explorer; give its address and process."""
    command = [sys.executable, "-m", "fstore", "--store", str(store), "explore", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        address = process.stdout.readline().strip().rstrip("/")
        try:
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()


def first_byte(address: str) -> float:
    """Return the seconds until the first byte of an answer."""
    started = time.perf_counter()
    with urllib.request.urlopen(address, timeout=120) as answer:  # noqa: S310 - our own server
        answer.read(1)
        seconds = time.perf_counter() - started
        answer.read()
    return seconds


def peak(process: psutil.Process) -> int:
    """Return the most bytes that a process has had resident (Linux tells)."""
    for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) << 10
    return 0


def timed(address: str, path: str, name: str, *, rounds: int) -> None:
    """Print how long an address takes at first, and then."""
    cold, *warm = (first_byte(address + path) for _ in range(rounds + 1))
    print(f"{name:38} {cold:9.2f} {statistics.median(warm):9.3f}", flush=True)


def parts(address: str) -> list[str]:
    """Return the parts that a page loads by itself."""
    with urllib.request.urlopen(address, timeout=120) as answer:  # noqa: S310 - our own server
        text = answer.read().decode()
    loaded = re.findall(r'hx-get="([^"]+)"[^>]*hx-trigger="load', text)
    return [html.unescape(part) for part in loaded]


def whole_page(address: str) -> float:
    """Return the seconds until Chromium has a page with all that it loads."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        chromium = shutil.which("chromium") or shutil.which("chromium-browser")
        browser = play.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto("about:blank")
        started = time.perf_counter()
        page.goto(address)
        page.wait_for_load_state("networkidle")
        seconds = time.perf_counter() - started - 0.5  # networkidle waits half a second
        browser.close()
    return seconds


def addresses() -> dict[str, str]:
    """Return the pages that are timed, by name."""
    of = {"network": NETWORK, "ckpt": "it3", "dataset": DATASET, "view": "image"}
    conv5, fc7 = {**of, "layer": "conv5"}, {**of, "layer": "fc7"}
    a, b = f"{NETWORK}/it2", f"{NETWORK}/it3"
    pages = {
        "overview": ("/", {}),
        "layer conv5": ("/layer", conv5),
        "layer fc7": ("/layer", fc7),
        "layer fc7 by selectivity": ("/layer", {**fc7, "sort": "selectivity"}),
        "layer fc7 by AP": ("/layer", {**fc7, "sort": "ap", "class": CLASSES[1]}),
        "layer fc7 by change": ("/layer", {**fc7, "sort": "change", "other": "it2"}),
        "filter conv5 43": ("/filter", {**conv5, "channel": 43}),
        "filter fc7 1234": ("/filter", {**fc7, "channel": 1234}),
        "class": ("/class", {"class": CLASSES[1], **conv5}),
        "images": ("/images", {"dataset": DATASET, "view": "image"}),
        "image": ("/image", {"sample": 17, **conv5}),
        "compare": ("/compare", {"dataset": DATASET, "layer": "conv5", "a": a, "b": b}),
        "map conv5": ("/map", conv5),
        "sql": ("/sql", {"recipe": "top-images"}),
        "reports": ("/reports", {}),
    }  # fmt: skip
    return {name: f"{path}?{urlencode(given)}" for name, (path, given) in pages.items()}


def main() -> None:
    """Build the store if need be, and time its pages."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--checkpoints", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="fstore-explore-"))
    if not (folder / "store").is_dir():
        build(folder, n_images=options.images, n_ckpts=options.checkpoints)
    with server(folder / "store") as (address, process):
        print(f"{'page':38} {'first, s':>9} {'warm, s':>9}")
        for name, path in addresses().items():
            timed(address, path, name, rounds=options.rounds)
            for part in parts(address + path):
                timed(address, part, f"  {urlsplit(part).path}", rounds=options.rounds)
        for name in ("filter conv5 43", "filter fc7 1234", "layer conv5"):
            whole = [whole_page(address + addresses()[name]) for _ in range(options.rounds)]
            print(f"{'whole page, ' + name:38} {statistics.median(whole):9.2f}", flush=True)
        print(f"memory of the server: {process.memory_info().rss >> 20} MiB at the end, ", end="")
        print(f"{peak(process) >> 20} MiB at most")
    if options.keep is None:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
