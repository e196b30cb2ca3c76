"""Cost of warped regions: all of it on the host, or cut out there and warped on the device.

    python benchmarks/warp.py --images DIR [--count 16] [--regions 128] [--device auto] [--rounds 5]

Regions of CaffeNet's size, 227 x 227, with sides of 1/8 of their image's to the whole. In every
round, one after another in this process, on one thread of the host, of decoded images:

- ``host``: warped to the network's input, as on a CPU, and moved to the device;
- ``cut``: the host's part where the device warps;
- ``device``: the device's part, the copy included, until it is done.

Prints medians in microseconds a region, and bytes a region that are copied to the device.
"""

import argparse
import statistics
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from fstore.extractor.devices import find_devices, to_device
from fstore.extractor.images import inputs
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.warping import RegionCrops, crop_regions, joined
from fstore.pixels.image_files import decode
from fstore.types import Box

CAFFENET = Preprocess(size=227, resize=256)


def drawn(rng: np.random.Generator, image: Image.Image, n: int) -> list[Box]:
    """Draw boxes inside an image; their sides are uniform in their logarithm."""
    whole = np.array(image.size)
    sides = whole * np.exp(rng.uniform(-np.log(8), 0, (n, 2)))
    low = 1 + rng.random((n, 2)) * (whole - sides)
    boxes: list[Box] = []
    for x0, y0, x1, y1 in np.rint(np.concatenate([low, low + sides - 1], axis=1)).tolist():
        boxes.append((x0, y0, x1, y1))
    return boxes


def measure(image: Image.Image, boxes: list[Box], device: torch.device) -> list[float]:
    """Time the three steps, in seconds; a GPU has ended its work when the clock is read."""

    def now() -> float:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return time.perf_counter()

    times = [now()]
    to_device(inputs(image, boxes, CAFFENET, uri=""), CAFFENET, device)
    times.append(now())
    crops = cut(image, boxes)
    times.append(now())
    to_device(crops, CAFFENET, device)
    times.append(now())
    return [after - before for before, after in pairwise(times)]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=Path, required=True, help="folder with JPEG files")
    parser.add_argument("--count", type=int, default=16)
    parser.add_argument("--regions", type=int, default=128, help="of each image")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    device = find_devices(given.device)[0]
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    paths = sorted(given.images.rglob("*.jpg"))[: given.count]
    work = [(image, drawn(rng, image, given.regions)) for image in map(opened, paths)]
    rounds = [
        np.sum([measure(image, boxes, device) for image, boxes in work], axis=0)
        for _ in range(given.rounds + 1)
    ]
    columns = np.array(rounds[1:]).T / (len(work) * given.regions) * 1e6  # the first warms up
    found = dict(zip(("host", "cut", "device"), columns.tolist(), strict=True))
    report(found, work, device)


def opened(path: Path) -> Image.Image:
    """Decode an image."""
    return decode(path.read_bytes(), uri=path.name)


def cut(image: Image.Image, boxes: list[Box]) -> RegionCrops:
    """Return regions cut out."""
    return crop_regions(image, boxes, CAFFENET, uri="")


def report(
    found: dict[str, list[float]], work: list[tuple[Image.Image, list[Box]]], device: torch.device
) -> None:
    """Print medians, their ratio, and the bytes."""
    crops = joined([cut(image, boxes) for image, boxes in work])
    n = len(crops)
    tables = crops.places.nbytes + crops.weights.nbytes + crops.inside.nbytes
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU, one thread"
    print(f"{n} regions of {len(work)} images, device: {name}, medians of {len(found['cut'])}\n")
    print("| step | microseconds a region | bytes a region to the device |")
    print("| --- | ---: | ---: |")
    sizes = {
        "host": 3 * 4 * CAFFENET.size**2,
        "cut": None,
        "device": (crops.pixels.nbytes + tables) // n,
    }
    for step, values in found.items():
        size = "" if sizes[step] is None else f"{sizes[step]:,}"
        print(f"| {step} | {statistics.median(values):.0f} | {size} |")
    pairs = zip(found["host"], found["cut"], strict=True)
    print(f"\nhost over cut: {statistics.median(h / c for h, c in pairs):.1f}")


if __name__ == "__main__":
    main()
