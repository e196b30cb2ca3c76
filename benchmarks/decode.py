"""Decoders of JPEG beside Pillow: CPU a photo, and whether the pixels are the same.

    python benchmarks/decode.py FOLDER [--photos 300] [--rounds 5]

Each decoder turns the bytes of a file into the Pillow image that the rest of fstore takes. Photos
are decoded by one after another, so that what else the machine does falls on all; medians over
rounds are printed as a share of Pillow's CPU. torchvision is installed with fstore; simplejpeg is
tried where it is installed.
"""

import argparse
import io
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

Decoder = Callable[[bytes], Image.Image]


def by_pillow(data: bytes) -> Image.Image:
    """Decode as fstore does."""
    with Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB")


def by_torchvision(data: bytes) -> Image.Image:
    """Decode by torchvision, and hand the pixels to Pillow."""
    import torch
    from torchvision.io import ImageReadMode, decode_jpeg

    tensor = torch.frombuffer(bytearray(data), dtype=torch.uint8)
    planes = decode_jpeg(tensor, mode=ImageReadMode.RGB)
    return Image.fromarray(np.ascontiguousarray(planes.permute(1, 2, 0).numpy()))


def by_simplejpeg(data: bytes) -> Image.Image:
    """Decode by simplejpeg, and hand the pixels to Pillow."""
    import simplejpeg

    return Image.fromarray(simplejpeg.decode_jpeg(data, colorspace="RGB"))


def main() -> None:
    """Print a line a decoder."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    decoders: dict[str, Decoder] = {"Pillow": by_pillow, "torchvision": by_torchvision}
    if find_spec("simplejpeg"):
        decoders["simplejpeg"] = by_simplejpeg
    files = sorted(given.folder.rglob("*.jpg"))[: given.photos]
    photos = [file.read_bytes() for file in files]
    seconds, other = measured(decoders, photos, given.rounds)
    print(f"{len(photos)} photos, {sum(map(len, photos)) / len(photos) / 1e3:.0f} kB each")
    base = statistics.median(seconds["Pillow"])
    for name, times in seconds.items():
        middle = statistics.median(times)
        print(
            f"{name:12} {middle / len(photos) * 1e3:6.2f} ms a photo, {middle / base:5.2f} of "
            f"Pillow's; {other[name]} photos have other pixels"
        )


def measured(
    decoders: dict[str, Decoder], photos: list[bytes], rounds: int
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Return each decoder's CPU seconds by round, and how many photos it decodes differently."""
    seconds: dict[str, list[float]] = {name: [] for name in decoders}
    other = dict.fromkeys(decoders, 0)
    for turn in range(rounds + 1):  # the first round warms up, and compares
        spent = dict.fromkeys(decoders, 0.0)
        for data in photos:
            right = by_pillow(data).tobytes() if turn == 0 else b""
            for name, decode in decoders.items():
                before = time.process_time()
                image = decode(data)
                spent[name] += time.process_time() - before
                other[name] += turn == 0 and image.tobytes() != right
        for name in decoders if turn else ():
            seconds[name].append(spent[name])
    return seconds, other


if __name__ == "__main__":
    main()
