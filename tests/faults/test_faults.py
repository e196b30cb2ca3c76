"""Faults, a few of each kind; benchmarks/faults.py injects as many as docs/reliability.md says."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from _bases import BASES
from _campaigns import CAMPAIGNS, NUMBERS
from _contents import Contents, differences, strays
from _figures import Figures

ROOT = Path(__file__).resolve().parents[2]
GROUPS = {
    "kills": [name for name in CAMPAIGNS if name.startswith("kill-")],
    "damage": [n for n in CAMPAIGNS if n.startswith("flip-") or n in {"cut", "missing"}],
    "disks and clocks": [n for n in CAMPAIGNS if n.startswith(("full-", "read-only", "clock-"))],
    "crowds": [n for n in CAMPAIGNS if n.startswith(("writers-", "readers-"))],
    "object storage": [n for n in CAMPAIGNS if n.startswith("s3-")],
}


def test_every_campaign_is_in_a_group() -> None:
    """No campaign is left out of the tests below."""
    assert sorted(n for names in GROUPS.values() for n in names) == sorted(CAMPAIGNS)


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_nothing_is_lost_or_silent(group: str, seed: int, tmp_path: Path) -> None:
    """A few faults of each kind: nothing is lost, doubled, stale, left over, or silent."""
    if group == "disks and clocks" and not _may_mount(tmp_path):
        pytest.skip("no right to mount a small file system")
    table = tmp_path / "figures.csv"
    command = [sys.executable, str(ROOT / "benchmarks/faults.py"), "--small", "--csv", str(table)]
    command += ["--seed", str(seed), "--only", *GROUPS[group]]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(GROUPS[group])
    assert all(int(row["injected"]) > 0 for row in rows)


def _may_mount(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        return False
    subprocess.run(["umount", str(folder)], check=True)
    return True


def test_what_the_words_mean() -> None:
    """Rows that are missing, there twice, of another value, or of no one, are told apart."""
    from collections import Counter

    right: Contents = {("t", k): Counter({"x": 1}) for k in "abcd"}
    held: Contents = {("t", "a"): Counter({"x": 1}), ("t", "b"): Counter({"x": 2})}
    held |= {("t", "c"): Counter({"y": 1}), ("file", "f"): Counter({"z": 1})}
    seen = differences(right, held)
    assert (seen.lost, seen.doubled, seen.stale) == (1, 1, 1)
    assert strays(right, held) == ["f"]
    assert not differences(right, right)


def test_the_page_has_every_kind() -> None:
    """docs/reliability.csv has a row a kind, of as many faults as a run injects, and no wrong."""
    with (ROOT / "docs" / "reliability.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert set(rows[0]) == set(Figures("x").row()) == {"kind", *NUMBERS}
    wrong = ("lost", "doubled", "stale", "left", "silent")
    assert [r["kind"] for r in rows if any(int(r[c]) for c in wrong)] == []
    assert len({row["kind"] for row in rows}) == len(rows) == len(CAMPAIGNS)
    kills = {row["kind"]: int(row["injected"]) for row in rows if row["kind"].startswith("kill")}
    assert kills == {f"kill: {base.name}": CAMPAIGNS["kill-extract"].n for base in BASES}
