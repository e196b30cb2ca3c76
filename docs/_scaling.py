"""The tables of scaling.md: what was measured an image, multiplied."""

import csv
import math
from collections.abc import Iterator
from pathlib import Path

MEASURED = Path(__file__).parent / "scaling.csv"
SIZES = (("SUN", 108_754), ("ImageNet", 1_281_167), ("a billion images", 1_000_000_000))
LOG_BYTES = 830 + 245
"""A file's entry in the log and its line of checksums, measured on a store of 750 files."""
TARGET_BYTES = 256e6
NAMES = {
    "caffenet": "CaffeNet",
    "torchvision:resnet50": "ResNet-50",
    "torchvision:vit_b_16": "ViT-B/16",
}


def an_image() -> str:
    """Return the table of what was measured."""
    head = "| network | layers | float32 | on disk | images a shard | ms CPU |"
    rows = [
        f"| {NAMES[r['network']]} | {r['layers']} | {amount(float(r['raw_bytes']))} | "
        f"{amount(float(r['bytes']))} | {r['images_a_shard']} | "
        f"{float(r['cpu_ms']):.0f} |"
        for r in measured()
    ]
    return "\n".join([head, "|---|---:|---:|---:|---:|---:|", *rows])


def jobs() -> str:
    """Return the table of whole jobs."""
    head = "| images | network | on disk | files | log | files after compact | CPU hours |"
    return "\n".join([head, "|---|---|---:|---:|---:|---:|---:|", *_jobs()])


def _jobs() -> Iterator[str]:
    for name, count in SIZES:
        for row in measured():
            layers, shard = int(row["layers"]), int(row["images_a_shard"])
            total = float(row["bytes"]) * count
            files = layers * math.ceil(count / shard)
            merged = max(layers, math.ceil(total / TARGET_BYTES))
            hours = float(row["cpu_ms"]) * count / 3.6e6
            yield (
                f"| {name} ({count:,}) | {NAMES[row['network']]} | {amount(total)} | {files:,} | "
                f"{amount(files * LOG_BYTES)} | {min(files, merged):,} | {hours:,.0f} |"
            )


def measured() -> list[dict[str, str]]:
    """Read what ``benchmarks/plan.py`` wrote."""
    with MEASURED.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def amount(size: float) -> str:
    """Return bytes with the unit that fits."""
    units = ("bytes", "KB", "MB", "GB", "TB", "PB")
    step = min(int(math.log10(max(size, 1)) // 3), len(units) - 1)
    return f"{size / 1000**step:.3g} {units[step]}"
