"""The sha256 of every file of a table and of its log, in ``sums/`` beside the tables.

Parquet and Delta keep no checksum of all their bytes: a flipped bit in a log or a footer changes
answers without a word. So each commit is followed by a note: a line for each new file, as
``sha256sum`` writes it, in ``sums/TABLE.sha256``, paths relative to the table's folder::

    cd my-store/labels && sha256sum --check --ignore-missing ../sums/labels.sha256

Opening a table compares the log, reading one compares its files (not those of ``activations``,
which only ``fstore verify`` reads as a whole). A file is read for this once in a process, and
again when its size or time changes. Files of older stores, of other writers, and of a process
that was killed just after its commit have no line; ``fstore verify`` counts them and adds lines
if asked.
"""

import hashlib
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pyarrow as pa
from pyarrow import parquet as pq

from fstore import commands
from fstore.errors import StorageError
from fstore.store.delta_log import log_entries

__all__ = [
    "add_missing",
    "check_files",
    "check_log",
    "check_table",
    "damage",
    "forget_if_none",
    "log_files",
    "noted",
    "prune",
    "record",
]

if TYPE_CHECKING:
    from deltalake import DeltaTable

FOLDER = "sums"
LOG = "_delta_log"
HEX = frozenset("0123456789abcdef")

_State = tuple[int, int, int]
_known: dict[Path, tuple[_State, str]] = {}  # file -> state when it was read, its sha256
_read: dict[Path, tuple[_State, dict[str, str]]] = {}  # file of sums -> state, its lines


def record(root: Path, name: str) -> None:
    """Note the sums of what was committed to a table since the last note.

    A disk that is full now does not undo a commit: what could not be noted is noted next time.
    """
    with suppress(OSError, ValueError):
        known = noted(root, name)
        last = max(map(_version, known), default=-1)
        versions = sorted(f for f in _log(root / name) if f.endswith(".json") and f not in known)
        new = [f for f in versions if _version(f) > last] if last >= 0 else versions[-1:]
        _append(root, name, new)


def forget_if_none(root: Path, name: str) -> None:
    """Forget the sums of a table that is about to be made, since there is none of that name."""
    if not _log(root / name):
        _place(root, name).unlink(missing_ok=True)


def add_missing(root: Path, name: str, files: Iterable[str]) -> int:
    """Note the sums of files as they are now; return their number."""
    known = noted(root, name)
    new = [f for f in files if f not in known and (root / name / f).is_file()]
    _write(root, name, ((f, _sha256(root / name / f)) for f in new))
    return len(new)


def _append(root: Path, name: str, commits: Iterable[str]) -> None:
    """Note commits, the data files that they added, and the log's checkpoints of that time."""
    folder, new = root / name, []
    for commit in commits:
        text = (folder / commit).read_bytes()
        added = [unquote(a["path"]) for line in text.splitlines() if (a := _added(line))]
        new += [(f, _sha256(folder / f)) for f in added if (folder / f).is_file()]
        new.append((commit, hashlib.sha256(text).hexdigest()))
        version = f"{LOG}/{_version(commit):020d}.checkpoint"
        new += [(f, _sha256(folder / f)) for f in _log(folder) if f.startswith(version)]
    _write(root, name, new)


def _added(line: bytes) -> dict[str, str]:
    found: dict[str, str] = json.loads(line).get("add") or {}
    return found


def _write(root: Path, name: str, sums: Iterable[tuple[str, str]]) -> None:
    text = "".join(f"{value}  {path}\n" for path, value in sums)
    if not text:
        return
    place = _place(root, name)
    place.parent.mkdir(exist_ok=True)
    handle = os.open(place, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(handle, text.encode())  # in one piece: others append, too
    finally:
        os.close(handle)


def noted(root: Path, name: str) -> dict[str, str]:
    """Return file, relative to the table's folder -> sha256; a line that is none is left out."""
    place = _place(root, name)
    try:
        state = _state(place)
        if (kept := _read.get(place)) is not None and kept[0] == state:
            return kept[1]
        lines = place.read_text(encoding="utf-8", errors="replace").split("\n")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise StorageError(f"cannot read {place}: {error}") from error
    pairs = [(line[66:], line[:64]) for line in lines if line[64:66] == "  "]
    sums = {path: value for path, value in pairs if HEX.issuperset(value)}
    _read[place] = state, sums
    return sums


def damage(root: Path, name: str, files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each of some files that is not what was noted: (file, what is wrong)."""
    known = noted(root, name)
    for file in files:
        said = known.get(file)
        if said is None:
            continue
        try:
            found = _sha256(root / name / file)
        except FileNotFoundError:
            yield file, "the file is missing"
        except OSError as error:
            yield file, f"the file cannot be read: {error}"
        else:
            if found != said:
                yield file, f"the file was changed: its sha256 begins {found[:12]}, not {said[:12]}"


def log_files(root: Path, name: str, *, all_of_it: bool = False) -> list[str]:
    """List the log's files that decide what a table holds now, those that should be there too.

    Parameters
    ----------
    root, name : Path, str
        Store and table.
    all_of_it : bool
        Those before the last checkpoint of the log as well.
    """
    there = _log(root / name)
    known = [f for f in noted(root, name) if f.startswith(f"{LOG}/")]
    marks = [_version(f) for f in there if ".checkpoint" in f]
    last = max(marks, default=-1)
    newest = max(map(_version, there), default=-1)
    gone = [f for f in known if f.endswith(".json") and _version(f) > newest]
    kept = [f for f in there if all_of_it or _version(f) > last or _is_mark(f, last)]
    return sorted({*kept, *gone})


def check_log(root: Path, name: str) -> None:
    """Refuse a table whose log is not what was committed.

    Raises
    ------
    StorageError
        Names the file.
    """
    for file, problem in damage(root, name, log_files(root, name)):
        if ".checkpoint" not in file or _is_parquet(root / name / file):
            raise _refusal(root, name, file, problem)
        # A checkpoint that nobody can read misleads nobody: the commits before it may be whole.


def check_table(root: Path, name: str, delta: "DeltaTable") -> None:
    """Refuse a table whose data files are not what was committed.

    Parameters
    ----------
    root : Path
        The store.
    name : str
        The table.
    delta : DeltaTable
        It, opened.

    Raises
    ------
    StorageError
        Names the file.
    """
    check_files(root, name, log_entries(delta)["path"].to_pylist())


def check_files(root: Path, name: str, paths: Iterable[str]) -> None:
    """Refuse a table if some of its data files are not what was committed.

    Parameters
    ----------
    root, name : Path, str
        Store and table.
    paths : iterable of str
        As in the log: relative to the table's folder, percent-encoded.

    Raises
    ------
    StorageError
        Names the file.
    """
    for file, problem in damage(root, name, map(unquote, paths)):
        raise _refusal(root, name, file, problem)


def _refusal(root: Path, name: str, file: str, problem: str) -> StorageError:
    return StorageError(
        f"table '{name}' is damaged: {name}/{file}: {problem}; {commands.verify(root)} lists all "
        "that is wrong; bring the file back from a copy of the store. If it was changed on "
        "purpose, remove "
        f"its line from {_place(root, name)}"
    )


def prune(root: Path, name: str) -> None:
    """Forget the sums of files that are gone, of the log's only if others follow."""
    known = noted(root, name)
    wanted = {*log_files(root, name), *(f for f in known if (root / name / f).exists())}
    if len(wanted & known.keys()) < len(known):
        place = _place(root, name)
        new = place.with_name(f".{place.name}.{os.getpid()}")
        new.write_text("".join(f"{s}  {f}\n" for f, s in known.items() if f in wanted), "utf-8")
        new.replace(place)


def _place(root: Path, name: str) -> Path:
    return root / FOLDER / f"{name}.sha256"


def _log(folder: Path) -> list[str]:
    """List a log's commits and checkpoints, relative to the table's folder."""
    try:
        names = [path.name for path in (folder / LOG).iterdir()]
    except OSError:
        return []
    wanted = (n for n in names if n[:20].isdigit() and n[20:21] == "." and not n.endswith(".tmp"))
    return [f"{LOG}/{n}" for n in wanted if n.endswith((".json", ".parquet"))]


def _version(file: str) -> int:
    """Version of a file of the log; -1 for a file of data."""
    name = file.removeprefix(f"{LOG}/")
    return int(name[:20]) if name != file and name[:20].isdigit() else -1


def _is_parquet(path: Path) -> bool:
    """Whether a reader would take a file for a whole one."""
    try:
        pq.read_metadata(path)
    except (OSError, pa.ArrowException):
        return False
    return True


def _is_mark(file: str, version: int) -> bool:
    return ".checkpoint" in file and _version(file) == version


def _state(path: Path) -> _State:
    state = path.stat()
    return state.st_size, state.st_mtime_ns, state.st_ino


def _sha256(path: Path) -> str:
    """Hash a file, unless it was hashed and has the size and time of then."""
    state = _state(path)
    kept = _known.get(path)
    if kept is None or kept[0] != state:
        with path.open("rb") as file:
            kept = _known[path] = state, hashlib.file_digest(file, "sha256").hexdigest()
    return kept[1]
