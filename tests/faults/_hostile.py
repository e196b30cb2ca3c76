"""Full and read-only disks, and clocks that jump: a refusal in words, and nothing is lost."""

import pickle
import random
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from _bases import BASES, Base, named
from _contents import contents, save
from _figures import Figures, campaign, draw_seed, rounds
from _harness import call, copy, run
from _kills import count, judged, undisturbed

__all__ = ["shifted"]

MIB = 1 << 20
YEARS = 10 * 365 * 86400


@contextmanager
def mounted(place: Path, size: int) -> Iterator[Path]:
    """Mount a file system of some bytes in memory, which takes the right to."""
    place.mkdir(parents=True, exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
    subprocess.run(mount, check=True, capture_output=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def full(place: Path, n: int, seed: int, *, base: Base) -> Figures:
    """Run a command on a disk with too little room, n times; then give room, run it again."""
    figures = Figures(f"disk full: {base.name}")
    ready, right, _, _ = undisturbed(place, base)
    had, has = (_size(root) for root in (ready, place / "whole"))
    draw = random.Random(draw_seed(seed, figures.kind))  # noqa: S311 - no secret
    for _ in rounds(n):
        with mounted(place / "disk", 2 * has + 8 * MIB) as disk:
            room = draw.randrange(max(has - had, MIB // 8))
            status, said = _run_full(copy(ready, disk / "store"), base, room)
            figures.injected += 1
            figures.notes += [f"{room}: {said[-600:]}"] if "Traceback" in said else []
            verdict = judged(disk / "store", base.words, right)
            count(figures, verdict, f"{room} bytes free", refused=status != 0)
    return figures


def _size(root: Path) -> int:
    return sum(path.stat().st_size for path in root.rglob("*") if path.is_file())


def _run_full(root: Path, base: Base, room: int) -> tuple[int, str]:
    """Run a command with some bytes of room, and give the disk its room back."""
    filler = root.parent / "filler"
    filler.write_bytes(b"x" * max(shutil.disk_usage(root.parent).free - room, 0))
    done = run(root, base.words)
    filler.unlink()
    return done


def read_only(place: Path, n: int, seed: int) -> Figures:
    """Run commands that write on a disk that none may write to, and ask it afterwards."""
    figures = Figures("read-only disk")
    draw = random.Random(draw_seed(seed, figures.kind))  # noqa: S311 - no secret
    for i in rounds(n):
        base = draw.choice(BASES)
        ready = place / f"{base.name.replace(' ', '-')}"
        if not ready.exists():
            call(base.make, ready)
        with mounted(place / f"disk{i}", 64 * MIB) as disk:
            root = copy(ready, disk / "store")
            before = _held(root, place)
            subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
            status, said = _run_beside(root, base, place)
            figures.injected += 1
            figures.told += status != 0
            figures.notes += [f"{base.name}: {said[-600:]}"] if "Traceback" in said else []
            if status == 0:
                figures.silent += 1
                figures.notes.append(f"{base.name} said that it was done")
            figures.lost += _held(root, place) != before
    return figures


def _run_beside(root: Path, base: Base, place: Path) -> tuple[int, str]:
    """Run a command over a store beside which nothing can be written: the log lies elsewhere."""
    beside = place / "link"
    beside.unlink(missing_ok=True)
    beside.symlink_to(root)
    return run(beside, base.words)


def _held(root: Path, place: Path) -> object:
    out = place / "held.pickle"
    call(save, root, out)
    return pickle.loads(out.read_bytes())  # noqa: S301 - ours


def clocks(place: Path, n: int, seed: int, *, base: Base) -> Figures:
    """Run a command, and again, each time by another clock, up to ten years wrong."""
    figures = Figures(f"clock jumps: {base.name}")
    ready, right, _, _ = undisturbed(place, base)
    draw = random.Random(draw_seed(seed, figures.kind))  # noqa: S311 - no secret
    for i in rounds(n):
        root = copy(ready, place / f"shot{i}")
        shifts = [draw.uniform(-YEARS, YEARS) for _ in range(2)]
        for shift in shifts:
            call(shifted, root, list(base.words), shift)
        figures.injected += 1
        count(figures, judged(root, base.words, right), f"clock {shifts} s off")
    return figures


def shifted(root: Path, words: list[str], shift: float) -> None:
    """Run a command while Python's clocks, but not those of files, are off by some seconds."""
    import sys
    import time

    from typer.testing import CliRunner

    from fstore.cli import app

    real = time.time

    class Shifted(datetime):
        @classmethod
        def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
            now = datetime.now(UTC) + timedelta(seconds=shift)
            return now if tz else now.replace(tzinfo=None)

    time.time = lambda: real() + shift
    for name, module in list(sys.modules.items()):
        if name.startswith("fstore.") and getattr(module, "datetime", None) is datetime:
            module.datetime = Shifted  # type: ignore[attr-defined]
    done = CliRunner().invoke(app, ["--store", str(root), *words])
    assert done.exit_code == 0, done.output
    time.time = real
    assert contents(root)


for _name in ("extract", "train"):
    campaign(f"full-{_name}", n=20, small=1)(partial(full, base=named(_name)))
campaign("read-only", n=20, small=2)(read_only)
for _name in ("extract", "report refresh", "gc"):
    campaign(f"clock-{_name.replace(' ', '-')}", n=20, small=1)(partial(clocks, base=named(_name)))
