"""The figures of docs/performance.md: runs the benchmarks that it names, and keeps what they print.

    python benchmarks/performance.py --images DIR --store DIR [--only starts features]

Each benchmark is a process of its own, one after another, on a machine that does nothing else.
DIR of images has JPEG files; the store is what ``fstore demo`` makes. What is printed goes to
``docs/performance/NAME.txt``, below a line with the day, the processor, its cores, and the load
before and after. A run of some replaces only their files.
"""

import argparse
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

HERE = Path(__file__).parent
PAGES = HERE.parent / "docs" / "performance"
IMAGES, STORE = "{images}", "{store}"
EXTRACT = ["extract.py", "--images", IMAGES]
TWO = ["--loops", "bare,fstore"]
BENCHMARKS = {
    "starts": ["starts.py", STORE],
    "extract-caffenet": [*EXTRACT, "--count", "256"],
    "extract-resnet18": [*EXTRACT, "--count", "256", "--network", "resnet18"],
    "extract-squeezenet": [*EXTRACT, "--count", "96", "--network", "squeezenet"],
    "extract-vit": [*EXTRACT, "--count", "256", "--network", "vit_b_16", *TWO, "--rounds", "1"],
    "many-caffenet": [*EXTRACT, "--count", "993", *TWO, "--rounds", "2"],
    "many-resnet18": [*EXTRACT, "--count", "512", "--network", "resnet18", *TWO, "--rounds", "2"],
    "many-squeezenet": [
        *(*EXTRACT, "--count", "512", "--network", "squeezenet", *TWO, "--rounds", "2")
    ],
    "encode-caffenet": [*EXTRACT, "--encode-only"],
    "encode-squeezenet": [*EXTRACT, "--encode-only", "--network", "squeezenet"],
    "peer": [*EXTRACT, "--peer", "--count", "256"],
    "decode": ["decode.py", IMAGES, "--photos", "993"],
    "features": ["features.py", "--rounds", "15"],
    "query": ["query.py", "--samples", "2000"],
}
"""What is run for each file."""


def processor() -> str:
    """Return the processor's name, as Linux gives it."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "a processor without a name"


def load() -> str:
    """Return the load of the last minute."""
    return f"{os.getloadavg()[0]:.1f}"


def run(name: str, given: argparse.Namespace) -> None:
    """Run one benchmark and keep what it prints."""
    script, *words = BENCHMARKS[name]
    filled = [w.format(images=given.images, store=given.store) for w in words]
    before = load()
    done = subprocess.run(
        [sys.executable, str(HERE / script), *filled], check=True, stdout=subprocess.PIPE, text=True
    )
    shown = " ".join(w.format(images="IMAGES", store="STORE") for w in words)
    head = (
        f"python benchmarks/{script} {shown}\n"
        f"{datetime.now(UTC).date()}, {processor()}, {len(os.sched_getaffinity(0))} cores, "
        f"load {before} before, {load()} after\n"
    )
    PAGES.mkdir(exist_ok=True)
    (PAGES / f"{name}.txt").write_text(f"{head}\n{done.stdout.rstrip()}\n", encoding="utf-8")


def main() -> None:
    """Run what was asked for, in order."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=Path, required=True, help="a folder with JPEG files")
    parser.add_argument("--store", type=Path, required=True, help="a store that the demo made")
    parser.add_argument("--only", nargs="*", choices=BENCHMARKS, default=list(BENCHMARKS))
    given = parser.parse_args()
    for name in given.only:
        print(name, flush=True)
        run(name, given)


if __name__ == "__main__":
    main()
