"""What a machine and a store are fit for, in a few seconds: a finding a line, with what to do."""

import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from fstore import commands
from fstore.errors import FstoreError
from fstore.extras import EXTRAS
from fstore.machine import cores, machine_memory

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Finding", "examine"]

State: TypeAlias = Literal["ok", "note", "problem"]

WRITTEN = 1 << 26
"""Bytes that are written to time a disk."""
SLOW = 50e6
"""Bytes a second: below that, extraction waits for the disk."""
LITTLE_DISK, LITTLE_MEMORY = 10e9, 4e9
"""Bytes free, below which work of a usual size may not end."""
LOOKED_AT = 2_000
"""Files of activations whose sizes are compared; ``fstore verify`` reads all of all."""
MANY = 1_000
"""Files of a layer above which questions about it slow down."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes
    ----------
    what : str
    state : {"ok", "note", "problem"}
        ``note``: it works, and could be better. ``problem``: something will fail.
    found : str
    advice : str
        What to do; empty where nothing is.
    """

    what: str
    state: State
    found: str
    advice: str = ""


def examine(location: str) -> Iterator[Finding]:
    """Yield what is found of this machine, then of a store.

    Parameters
    ----------
    location : str
        Where the store is; it need not be there.
    """
    from fstore.store import Store

    yield _device()
    yield _memory()
    yield _extras()
    try:
        store = Store.open(location)
    except FstoreError as error:
        yield Finding("store", "note", str(error), commands.init(location))
        return
    yield from _disk(store)
    yield from _tables(store)


def _device() -> Finding:
    from fstore.extractor.devices import find_devices

    devices = find_devices("auto")
    found = f"{', '.join(map(str, devices))}; {cores()} cores"
    if devices[0].type != "cpu":
        return Finding("device", "ok", found)
    advice = "networks run on the CPU; with a GPU, install a torch that was built for it"
    return Finding("device", "note", found, advice)


def _memory() -> Finding:
    total = machine_memory()
    free = min(total, _available() or total)
    found = f"{free / 1e9:.1f} GB of {total / 1e9:.1f} GB available"
    if free >= LITTLE_MEMORY:
        return Finding("memory", "ok", found)
    return Finding("memory", "note", found, "end other programs, or extract fewer layers at once")


def _available() -> int:
    """Return the bytes that Linux could give to a program; 0 where it does not say."""
    try:
        text = Path("/proc/meminfo").read_text(encoding="ascii")
    except OSError:
        return 0
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return 1024 * int(lines.get("MemAvailable", "0").split()[0])


def _extras() -> Finding:
    there = {extra: all(map(find_spec, modules)) for extra, modules in EXTRAS.items()}
    absent = [extra for extra, installed in there.items() if not installed]
    found = f"installed: {', '.join(e for e, installed in there.items() if installed) or 'none'}"
    if not absent:
        return Finding("extras", "ok", found)
    advice = f"if you need them: pip install 'fstore[{','.join(absent)}]'"
    return Finding("extras", "ok", found, advice)


def _disk(store: "Store") -> Iterator[Finding]:
    """Time a write, where the store is a folder."""
    import shutil

    if "://" in str(store.place):
        began = time.perf_counter()
        store.place.names("")
        spent = time.perf_counter() - began
        yield Finding("storage", "ok", f"{store.place} answers in {1e3 * spent:.0f} ms")
        return
    folder = Path(str(store.place))
    free = shutil.disk_usage(folder).free
    state: State = "ok" if free >= LITTLE_DISK else "note"
    advice = "estimate a job before you extract (--estimate)" if state == "note" else ""
    yield Finding("disk space", state, f"{free / 1e9:.1f} GB free", advice)
    try:
        speed = _speed(store)
    except (OSError, FstoreError) as error:
        yield Finding("disk speed", "problem", f"cannot write: {error}", "free space, or rights")
        return
    found = f"{speed / 1e6:.0f} MB/s written and synced"
    if speed < SLOW:
        yield Finding("disk speed", "note", found, "extraction will wait for the disk")
    else:
        yield Finding("disk speed", "ok", found)


def _speed(store: "Store") -> float:
    """Return the bytes a second that a new file in the store takes."""
    path = store.place.draft("locks", ".speed")
    block = os.urandom(1 << 20)  # no file system makes it smaller
    began = time.perf_counter()
    try:
        with path.open("wb") as file:
            for _ in range(WRITTEN // len(block)):
                file.write(block)
            file.flush()
            os.fsync(file.fileno())
        return WRITTEN / (time.perf_counter() - began)
    finally:
        path.unlink(missing_ok=True)


def _tables(store: "Store") -> Iterator[Finding]:
    """Look at the tables' logs, and at the sizes of files."""
    from fstore.store.schema import TABLES

    broken = {}
    for name in TABLES:
        try:
            store.rows(name) if name != "activations" else store.files()
        except FstoreError as error:
            broken[name] = str(error)
    for name, why in broken.items():
        yield Finding(f"table {name}", "problem", why, commands.verify(store.place))
    if not broken:
        yield Finding("tables", "ok", f"all {len(TABLES)} can be read")
    if "activations" not in broken:
        yield from _files(store)


def _files(store: "Store") -> Iterator[Finding]:
    files = store.files()
    many = {p: n for p, n in Counter(file.partition for file in files).items() if n > MANY}
    looked = list(islice(files, LOOKED_AT))
    absent = [file.key for file in looked if store.place.entry(file.key) is None]
    found = f"{len(files)} files of activations, {len(looked)} looked for"
    if absent:
        text = f"{found}; absent: {len(absent)}, such as {absent[0]}"
        yield Finding("files", "problem", text, commands.verify(store.place))
    else:
        yield Finding("files", "ok", found, f"{commands.verify(store.place)} reads them all")
    for partition, count in many.items():
        advice = commands.compact(store.place, partition.values)
        yield Finding("small files", "note", f"{partition} has {count} files", advice)
