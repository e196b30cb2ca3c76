"""What a large job takes: bytes, files and time an image, measured on some images.

    python benchmarks/plan.py --images DIR [--count 96] [--out docs/scaling.csv]

Extracts every declared layer of three networks, with initial weights, by the program itself.
Prints, a row a network: layers, raw bytes of an image in float32, bytes on disk, files a shard,
images a shard, and milliseconds an image, of the wall clock and of all cores together. Start-up
is not counted: it is the time of a job with a single image.

Initial weights leave half of the responses after a ReLU above zero. Trained ones leave fewer:
files are smaller then.
"""

import argparse
import csv
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from fstore.workflows.extract.plan import SHARD_BYTES

NETWORKS = ("caffenet", "torchvision:resnet50", "torchvision:vit_b_16")
COLUMNS = (
    "network", "layers", "raw_bytes", "bytes", "images_a_shard", "wall_ms", "cpu_ms",
)  # fmt: skip


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--images", type=Path, required=True, help="folder of JPEG files")
    parser.add_argument("--count", type=int, default=96)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fstore-plan-") as folder:
        images = sorted(given.images.glob("*.jpg"))[: given.count]
        if len(images) < given.count:
            parser.error(f"{given.images} has {len(images)} .jpg files, {given.count} are needed")
        for name, files in (("few", images[:1]), ("many", images)):
            (Path(folder) / name).mkdir()
            for file in files:
                shutil.copy(file, Path(folder) / name)
        rows = [measured(network, Path(folder), given.count) for network in NETWORKS]
    for row in rows:
        print(row)
    if given.out:
        with given.out.open("w", encoding="utf-8", newline="") as out:
            writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)


def measured(network: str, folder: Path, count: int) -> dict[str, Any]:
    """Extract one image and all of them; return a row of the table."""
    store = folder / f"store-{network.rpartition(':')[2]}"
    fstore(store, "init")
    fstore(store, "ckpt", "init", "--network", network, "--name", "initial", "--seed", "1")
    spent = {}
    for name in ("few", "many"):
        fstore(store, "dataset", "add", name, "--format", "imagefolder", "--root", folder / name)
        began, cpu = time.perf_counter(), children_s()
        words = ("--layer", "all", "--ckpt", f"{network}/initial", "--dataset", name)
        fstore(store, "extract", *words, "--device", "cpu")
        spent[name] = time.perf_counter() - began, children_s() - cpu
    rows = [r for r in json.loads(fstore(store, "status", "--json")) if r["dataset"] == "many"]
    raw = sum(row["raw_bytes"] for row in rows) / count
    wall, cpu = (spent["many"][i] - spent["few"][i] for i in (0, 1))
    return {
        "network": network,
        "layers": len(rows),
        "raw_bytes": round(raw),
        "bytes": round(sum(row["bytes"] for row in rows) / count),
        "images_a_shard": int(SHARD_BYTES // raw),
        "wall_ms": round(1000 * wall / (count - 1), 1),
        "cpu_ms": round(1000 * cpu / (count - 1), 1),
    }


def fstore(store: Path, *words: object) -> str:
    """Run the program on a store; return what it prints."""
    command = [sys.executable, "-m", "fstore", "--store", str(store), *map(str, words)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def children_s() -> float:
    """Return the CPU seconds of all programs that were run and have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
