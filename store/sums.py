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
from collections.abc import Hashable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import unquote

from fstore import commands
from fstore.errors import StorageError
from fstore.store.delta_log import is_parquet, log_entries
from fstore.store.hashing import hash_ahead, present, sha256_of

__all__ = [
    "add_missing",
    "check_commits",
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

    from fstore.store.place import Place

FOLDER = "sums"
LOG = "_delta_log"
NUMBERED = len(LOG) + 21
"""Letters of a log's file up to the end of its version, which has zeros in front."""
OVERLAP = 1 << 12
"""Bytes before the end that are compared when a file of sums has grown."""
HEX = frozenset("0123456789abcdef")

_read: dict[str, "_Notes"] = {}  # file of sums -> what was read of it


@dataclass
class _Notes:
    """A file of sums as it was read: its version, its bytes, and file -> sha256 of its lines."""

    version: Hashable
    text: bytes

    @cached_property
    def all(self) -> dict[str, str]:
        """Of all files; a line that is none is left out."""
        return _lines(self.text)

    @cached_property
    def log(self) -> dict[str, str]:
        """Of the log's files: few among the table's, and all that opening it needs."""
        return _lines(b"\n".join(_log_lines(self.text)))

    def more(self, version: Hashable, text: bytes) -> "_Notes":
        """Return these notes as they are now; of notes that grew only the new lines are read."""
        new = _Notes(version, text)
        if self.text.endswith(b"\n") and text.startswith(self.text):
            for lines in self.__dict__.keys() & {"all", "log"}:
                rest = text[len(self.text) :]
                rest = rest if lines == "all" else b"\n".join(_log_lines(rest))
                new.__dict__[lines] = self.__dict__[lines] | _lines(rest)
        return new


def _log_lines(text: bytes) -> Iterator[bytes]:
    """Yield the lines that name a file of the log."""
    mark = f"  {LOG}/".encode()
    at = text.find(mark)
    while at >= 0:
        end = text.find(b"\n", at)
        end = len(text) if end < 0 else end
        yield text[text.rfind(b"\n", 0, at) + 1 : end]
        at = text.find(mark, end)


def _lines(text: bytes) -> dict[str, str]:
    """Return what lines say; one that is none is left out."""
    lines = text.decode(errors="replace").split("\n")
    pairs = [(line[66:], line[:64]) for line in lines if line[64:66] == "  "]
    return {path: value for path, value in pairs if HEX.issuperset(value)}


def record(root: "Place", name: str) -> None:
    """Note the sums of what was committed to a table since the last note.

    A disk that is full now does not undo a commit: what could not be noted is noted next time.
    """
    with suppress(OSError, ValueError):
        noted_sums = _notes(root, name).log
        last = max(map(_version, noted_sums), default=-1)
        versions = sorted(
            f for f in _log(root, name) if f.endswith(".json") and f not in noted_sums
        )
        new = [f for f in versions if _version(f) > last] if last >= 0 else versions[-1:]
        _append(root, name, new)


def forget_if_none(root: "Place", name: str) -> None:
    """Forget the sums of a table that is about to be made, since there is none of that name."""
    if not _log(root, name):
        root.delete(_place(name))


def add_missing(root: "Place", name: str, files: Iterable[str]) -> int:
    """Note the sums of files as they are now; return their number."""
    noted_sums = noted(root, name)
    new = [f for f in files if f not in noted_sums and root.entry(f"{name}/{f}")]
    _write(root, name, ((f, sha256_of(root, f"{name}/{f}")) for f in new))
    return len(new)


def _append(root: "Place", name: str, commits: Iterable[str]) -> None:
    """Note commits, the data files that they added, and the log's checkpoints of that time."""
    new = []
    for commit in commits:
        text = root.read(f"{name}/{commit}")
        added = [unquote(a["path"]) for line in text.splitlines() if (a := _added(line))]
        keys = {file: f"{name}/{file}" for file in added}
        new += [(file, sha256_of(root, key)) for file, key in keys.items() if root.entry(key)]
        new.append((commit, hashlib.sha256(text).hexdigest()))
        version = f"{LOG}/{_version(commit):020d}.checkpoint"
        checkpoints = [f for f in _log(root, name) if f.startswith(version)]
        new += [(file, sha256_of(root, f"{name}/{file}")) for file in checkpoints]
    _write(root, name, new)


def _added(line: bytes) -> dict[str, str]:
    added: dict[str, str] = json.loads(line).get("add") or {}
    return added


def _write(root: "Place", name: str, sums: Iterable[tuple[str, str]]) -> None:
    text = "".join(f"{value}  {path}\n" for path, value in sums)
    if text:
        root.append(_place(name), text.encode())


def noted(root: "Place", name: str) -> dict[str, str]:
    """Return file, relative to the table's folder -> sha256; a line that is none is left out."""
    return _notes(root, name).all


def _notes(root: "Place", name: str) -> _Notes:
    """Read a table's notes, unless the file is the one that was read."""
    key = _place(name)
    place = root.uri(key)
    try:
        entry = root.entry(key)
        if entry is None:
            return _Notes(None, b"")
        kept = _read.get(place)
        if kept is not None and kept.version == entry.version:
            return kept
        text = (kept and _grown(root, key, kept.text, size=entry.size_bytes)) or root.read(key)
    except FileNotFoundError:
        return _Notes(None, b"")
    except OSError as error:
        raise StorageError(f"cannot read {place}: {error}") from error
    notes = _Notes(entry.version, text) if kept is None else kept.more(entry.version, text)
    _read[place] = notes
    return notes


def _grown(root: "Place", key: str, text: bytes, *, size: int) -> bytes | None:
    """Return a file that something was added to, of which only that is read.

    None if it is no longer than before, or if what was before the new is not what was read.
    """
    begin = max(0, len(text) - OVERLAP)
    if size <= len(text):
        return None
    with root.open(key) as file:
        file.seek(begin)
        rest = file.read()
    old = len(text) - begin
    return text + rest[old:] if rest[:old] == text[begin:] else None


def damage(root: "Place", name: str, files: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield each of some files that is not what was noted: (file, what is wrong)."""
    yield from _damage(root, name, files, noted_sums=noted(root, name))


def _damage(
    root: "Place", name: str, files: Iterable[str], *, noted_sums: Mapping[str, str]
) -> Iterator[tuple[str, str]]:
    wanted = [file for file in files if file in noted_sums]
    in_log = all(file.startswith(f"{LOG}/") for file in wanted)
    folder, keys = f"{name}/{LOG}" if in_log else name, [f"{name}/{file}" for file in wanted]
    ahead = hash_ahead(root, folder, keys)
    for file, key in zip(wanted, keys, strict=True):
        said = noted_sums[file]
        try:
            now = ahead[key] if key in ahead else sha256_of(root, key)
        except FileNotFoundError:
            yield file, "the file is missing"
        except OSError as error:
            yield file, f"the file cannot be read: {error}"
        else:
            if now != said:
                yield file, f"the file was changed: its sha256 begins {now[:12]}, not {said[:12]}"


def log_files(root: "Place", name: str, *, all_of_it: bool = False) -> list[str]:
    """List the log's files that decide what a table holds now, those that should be there too.

    Parameters
    ----------
    root, name : Place, str
        Store and table.
    all_of_it : bool
        Those before the last checkpoint of the log as well.
    """
    present = _log(root, name)
    marks = [f for f in present if ".checkpoint" in f]
    last = max((f[:NUMBERED] for f in marks), default="")
    newest = max((f[:NUMBERED] for f in present), default="")
    noted_log = _notes(root, name).log
    gone = [f for f in noted_log if f[:NUMBERED] > newest and f.endswith(".json")]
    later = present if all_of_it else [f for f in present if f[:NUMBERED] > last]
    return sorted({*later, *gone, *(f for f in marks if f[:NUMBERED] == last)})


def check_commits(root: "Place", name: str, versions: Iterable[int]) -> None:
    """Refuse a table of whose log some commits are not what was committed.

    Raises
    ------
    StorageError
        Names the file.
    """
    files = [f"{LOG}/{version:020d}.json" for version in versions]
    for file, problem in _damage(root, name, files, noted_sums=_notes(root, name).log):
        raise _refusal(root, name, file, problem=problem)


def check_log(root: "Place", name: str) -> None:
    """Refuse a table whose log is not what was committed.

    Raises
    ------
    StorageError
        Names the file.
    """
    for file, problem in _damage(
        root, name, log_files(root, name), noted_sums=_notes(root, name).log
    ):
        if ".checkpoint" not in file or is_parquet(root, f"{name}/{file}"):
            raise _refusal(root, name, file, problem=problem)
        # A checkpoint that nobody can read misleads nobody: the commits before it may be whole.


def check_table(root: "Place", name: str, delta: "DeltaTable") -> None:
    """Refuse a table whose data files are not what was committed.

    Parameters
    ----------
    root : Place
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


def check_files(root: "Place", name: str, paths: Iterable[str]) -> None:
    """Refuse a table if some of its data files are not what was committed.

    Parameters
    ----------
    root, name : Place, str
        Store and table.
    paths : iterable of str
        As in the log: relative to the table's folder, percent-encoded.

    Raises
    ------
    StorageError
        Names the file.
    """
    for file, problem in damage(root, name, map(unquote, paths)):
        raise _refusal(root, name, file, problem=problem)


def _refusal(root: "Place", name: str, file: str, *, problem: str) -> StorageError:
    return StorageError(
        f"table '{name}' is damaged: {name}/{file}: {problem}; {commands.verify(root)} lists all "
        "that is wrong; bring the file back from a copy of the store. If it was changed on "
        f"purpose, remove its line from {root.uri(_place(name))}"
    )


def prune(root: "Place", name: str) -> None:
    """Forget the sums of files that are gone, of the log's only if others follow."""
    noted_sums = noted(root, name)
    there = present(root, name, [f"{name}/{f}" for f in noted_sums])
    wanted = {*log_files(root, name), *(f for f in noted_sums if f"{name}/{f}" in there)}
    if len(wanted & noted_sums.keys()) < len(noted_sums):
        text = "".join(f"{s}  {f}\n" for f, s in noted_sums.items() if f in wanted)
        root.write(_place(name), text.encode())


def _place(name: str) -> str:
    return f"{FOLDER}/{name}.sha256"


def _log(root: "Place", name: str) -> list[str]:
    """List a log's commits and checkpoints, relative to the table's folder."""
    try:
        names = root.names(f"{name}/{LOG}")
    except OSError:
        return []
    wanted = (n for n in names if n[:20].isdigit() and n[20:21] == "." and not n.endswith(".tmp"))
    return [f"{LOG}/{n}" for n in wanted if n.endswith((".json", ".parquet"))]


def _version(file: str) -> int:
    """Version of a file of the log; -1 for a file of data."""
    name = file.removeprefix(f"{LOG}/")
    return int(name[:20]) if name != file and name[:20].isdigit() else -1


def _is_mark(file: str, version: int) -> bool:
    return ".checkpoint" in file and _version(file) == version
