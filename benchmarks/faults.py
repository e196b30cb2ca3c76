"""Do to stores what happens to stores, and count what comes of it: docs/reliability.md.

    python benchmarks/faults.py --n 50 --only kill-extract

Each kind of fault is a row: how many were injected, and of how many something was lost, doubled,
stale, left over or silent. The rows go into a CSV file, over earlier ones of the same kind.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path[:0] = [str(TESTS), str(TESTS / "faults")]

from _campaigns import CAMPAIGNS, NUMBERS, allow, write_csv  # noqa: E402


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, help="Faults a kind. Default: each kind's own.")
    parser.add_argument("--seed", type=int, default=0, help="Of all that is drawn.")
    parser.add_argument("--only", nargs="+", choices=sorted(CAMPAIGNS), help="These kinds.")
    parser.add_argument("--csv", type=Path, help="Put the rows into this file.")
    parser.add_argument("--minutes", type=float, default=1e6, help="Of a kind, at most.")
    parser.add_argument("--small", action="store_true", help="As many as the tests inject.")
    return parser.parse_args()


def main() -> int:
    """Run campaigns; the status is 1 if anything is not 0 that should be."""
    options = arguments()
    wrong = 0
    print(f"seed {options.seed}")
    for name in options.only or CAMPAIGNS:
        entry = CAMPAIGNS[name]
        n = options.n or (entry.small if options.small else entry.n)
        allow(60 * options.minutes)
        began = time.perf_counter()
        with tempfile.TemporaryDirectory(prefix="faults-") as place:
            figures = entry.run(Path(place), n, options.seed)
        wrong += figures.wrong
        counts = ", ".join(f"{getattr(figures, c)} {c}" for c in NUMBERS)
        print(f"{figures.kind}: {counts}; {time.perf_counter() - began:.0f} s", flush=True)
        for note in figures.notes:
            print(f"  {note}", flush=True)
        if options.csv:
            write_csv(options.csv, [figures.row()])
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
