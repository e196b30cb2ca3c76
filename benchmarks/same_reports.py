"""Whether two stores have the same reports: every cell's value, deviation and n, bit for bit.

    python benchmarks/same_reports.py STORE OTHER

Of each cell the row that was computed last counts. Exit status 1, and the first cells that differ,
if any does.
"""

import argparse
import struct
import sys

import fstore

Key = tuple[str, str, str, str]


def cells(path: str) -> dict[Key, tuple[bytes, bytes, int | None]]:
    """Return each cell's numbers as bits: (study, report, row, col) -> value, std, n."""
    latest = {}
    rows = fstore.open(path).rows("reports").to_pylist()
    for row in sorted(rows, key=lambda row: row["computed_at"]):
        key = (row["study"], row["report"], row["row"], row["col"])
        latest[key] = (bits(row["value"]), bits(row["std"]), row["n"])
    return latest


def bits(value: float | None) -> bytes:
    """Return a double's eight bytes; none of one that is missing."""
    return b"" if value is None else struct.pack("<d", value)


def main() -> int:
    """Compare two stores."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store")
    parser.add_argument("other")
    paths = parser.parse_args()
    one, other = cells(paths.store), cells(paths.other)
    differ = sorted(key for key in one.keys() | other.keys() if one.get(key) != other.get(key))
    print(f"{len(one)} and {len(other)} cells, {len(differ)} differ")
    for key in differ[:20]:
        print(*key, sep=" | ")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
