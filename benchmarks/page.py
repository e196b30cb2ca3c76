"""What building the page of a store costs: CPU seconds of whole processes, and their medians.

    python benchmarks/page.py STORE [--rounds 3]

The page is built into a new folder each time, from the cells that are stored, and is not kept.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def built(store: Path) -> tuple[float, int]:
    """Build the page; return CPU seconds, and the files that it has."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "page"
        words = ["--store", str(store), "--quiet", "report", "build", "--no-compute", str(out)]
        command = [sys.executable, "-m", "fstore", *words]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
            _, status, used = os.wait4(run.pid, 0)
            run.returncode = os.waitstatus_to_exitcode(status)
        if run.returncode:
            raise SystemExit(f"{' '.join(command)} ended with status {run.returncode}")
        return used.ru_utime + used.ru_stime, sum(p.is_file() for p in out.rglob("*"))


def main() -> None:
    """Print the median of some rounds."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    runs = [built(given.store) for _ in range(given.rounds)]
    seconds = statistics.median(s for s, _ in runs)
    print(f"{seconds:.1f} CPU s for {runs[0][1]} files, median of {given.rounds}")


if __name__ == "__main__":
    main()
