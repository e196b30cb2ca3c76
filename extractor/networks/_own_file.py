"""Networks in a file of the user's own, ``path/to/file.py:function``: loaded, hashed, kept apart.

The file's folder is importable for it, as it is for a script. What it imports from there is taken
out of ``sys.modules`` again: another file has other modules of the same names.
"""

import hashlib
import importlib
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.extractor.networks._own import is_users, place_of
from fstore.extractor.networks._own_imports import imported_files

__all__ = ["OwnFile", "importable", "load_file"]


@dataclass
class OwnFile:
    """A file that was run, and what it imports from its own folder.

    Attributes
    ----------
    path : Path
        Absolute.
    module : ModuleType
        What running it gave.
    read : str
        Sha256 of the bytes that were run.
    siblings : dict of name to module
        Of its folder, imported by it so far.
    hashes : dict of Path to str
        Sha256 of the files beside it that it imports, when it is run or in a function.
    """

    path: Path
    module: ModuleType
    read: str
    siblings: dict[str, ModuleType] = field(default_factory=dict)
    hashes: dict[Path, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str:
        """Hash of the file; where it imports others of its folder, over all of them."""
        state = hashlib.sha256(self.read.encode())
        for path in sorted(self.hashes):
            name = path.relative_to(self.path.parent).as_posix()
            state.update(f"\n{name} {self.hashes[path]}".encode())
        return state.hexdigest() if self.hashes else self.read

    @property
    def is_current(self) -> bool:
        """Whether the files are still what was run."""
        read = {self.path: self.read, **self.hashes}
        return all(_sha256(path) == sha256 for path, sha256 in read.items())


_LOADED: dict[Path, OwnFile] = {}
_LOCK = threading.RLock()  # sys.modules is everybody's


def load_file(path: Path, *, name: str) -> OwnFile:
    """Return a file that was run; it is run again only after it changed.

    Parameters
    ----------
    path : Path
        Absolute.
    name : str
        Of the network, for errors.

    Raises
    ------
    UnknownNameError
        No such file.
    DataError
        It fails; its line is named.
    """
    with _LOCK:
        loaded = _LOADED.get(path)
        if loaded is None or not loaded.is_current:
            _LOADED.pop(path, None)
            loaded = _run(path, name)
            _LOADED[path] = loaded
        return loaded


@contextmanager
def importable(file: OwnFile) -> Iterator[None]:
    """Let a file's own siblings be imported while it is run or one of its functions is."""
    folder = file.path.parent
    with _LOCK:
        names = _names_in(folder)
        aside = {n: m for n, m in sys.modules.items() if _top(n) in names and _is_users(m)}
        for name in aside:
            del sys.modules[name]
        before = dict(sys.modules)
        sys.modules.update(file.siblings)
        quiet, sys.dont_write_bytecode = sys.dont_write_bytecode, True
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()  # a sibling may have been written a moment ago
        try:
            yield
        finally:
            sys.dont_write_bytecode = quiet
            sys.path.remove(str(folder))
            _keep_siblings(file, before)
            sys.modules.update(aside)


def _run(path: Path, name: str) -> OwnFile:
    source = _source(path, name)
    module_name = f"fstore_own_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:12]}"
    module = ModuleType(module_name)
    module.__file__ = str(path)
    hashes = {sibling: _sha256(sibling) for sibling in imported_files(path)}
    file = OwnFile(path, module, hashlib.sha256(source).hexdigest(), hashes=hashes)
    sys.modules[module_name] = module  # dataclasses and pickle look a class's module up
    try:
        with importable(file):
            exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102 - what was asked for
    except FstoreError:
        raise
    except (Exception, SystemExit) as exc:  # code of the user's may raise anything
        raise DataError(f"{path} fails: {place_of(exc)}") from exc
    for origin in map(_origin, file.siblings.values()):  # by importlib, whose text tells nothing
        if origin is not None and origin.is_file() and origin != path:
            hashes.setdefault(origin, _sha256(origin))
    return file


def _source(path: Path, name: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as exc:
        raise UnknownNameError(
            f"no file {path} for network {name!r}; a store knows a file by its whole path: if it "
            "was moved, put it back (a link will do), or register the weights again with --network "
            "and its new path"
        ) from exc
    except OSError as exc:
        raise DataError(f"cannot read {path} for network {name!r}: {exc.strerror}") from exc


def _keep_siblings(file: OwnFile, before: Mapping[str, ModuleType]) -> None:
    """Take what was imported from the file's folder out of ``sys.modules``, and note it."""
    for name, module in list(sys.modules.items()):
        origin = _origin(module)
        if before.get(name) is module or origin is None or not is_users(str(origin)):
            continue
        if origin.is_relative_to(file.path.parent):
            del sys.modules[name]
            file.siblings[name] = module


def _names_in(folder: Path) -> set[str]:
    """Return the names of the modules that a folder offers."""
    entries = list(folder.iterdir())
    modules = {entry.stem for entry in entries if entry.suffix == ".py"}
    return modules | {entry.name for entry in entries if entry.is_dir()} - {"__main__"}


def _top(name: str) -> str:
    return name.partition(".")[0]


def _is_users(module: ModuleType) -> bool:
    """Tell modules of people from those of libraries, which keep their names everywhere."""
    origin = _origin(module)
    return origin is not None and module.__name__ != "__main__" and is_users(str(origin))


def _origin(module: ModuleType) -> Path | None:
    """Return a module's file; of a folder without ``__init__.py`` the folder."""
    file = getattr(module, "__file__", None)
    if isinstance(file, str):
        return Path(file)
    try:
        return Path(next(iter(module.__path__)))
    except (AttributeError, StopIteration, TypeError):
        return None


def _sha256(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:  # gone since
        return ""
