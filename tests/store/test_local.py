"""A local folder is a place of a store, and what is peculiar to folders."""

import ast
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from _place_contract import PlaceTests
from fstore.errors import StorageError
from fstore.store.local import LocalPlace
from fstore.store.place import outside

ROOT = Path(__file__).parents[2]


@pytest.fixture
def place(tmp_path: Path) -> LocalPlace:
    """Make an empty place."""
    made = LocalPlace(tmp_path / "s")
    made.make()
    return made


class TestLocal(PlaceTests):
    """The contract holds for a local folder."""


class TestOnTwoDisks(PlaceTests):
    """The contract holds for a folder some of whose parts are links to another disk."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> LocalPlace:
        """Make a place with linked parts."""
        made = LocalPlace(tmp_path / "s")
        made.make()
        for part in ("activations", "weights", "labels", "sums"):
            (tmp_path / "disk" / part).mkdir(parents=True)
            (made.path / part).symlink_to(tmp_path / "disk" / part)
        return made


class Forgetful(LocalPlace):
    """A place that breaks its promises one by one; each test names the one it looks at."""

    def append(self, key: str, data: bytes) -> None:
        """Read and write, with nothing that keeps others out."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        before = path.read_bytes() if path.exists() else b""
        path.write_bytes(before + data)

    def write(self, key: str, data: bytes) -> None:
        """Write into the file that readers have open."""
        path = self.path / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def is_locked(self, name: str) -> bool:
        """See nothing."""
        return name == ""

    def oldest_lease(self) -> float:
        """Forget all leases."""
        return float("inf")


@pytest.mark.parametrize(
    "promise",
    [
        "nobody_sees_half_a_file",
        "additions_at_once_are_all_kept",
        "looking_at_a_lock",
        "a_lease_covers_what_is_written_under_it",
    ],
)
def test_the_contract_notices(tmp_path: Path, promise: str) -> None:
    """A place that breaks a promise fails the test of it."""
    check = getattr(PlaceTests(), f"test_{promise}")

    def often() -> None:  # what two threads do at once may go well
        for i in range(20):
            check(Forgetful(tmp_path / str(i)))

    with pytest.raises(AssertionError):
        often()


def test_links_at_the_top_are_trusted(place: LocalPlace, tmp_path: Path) -> None:
    """A part of the store on another disk has the keys of the part; links elsewhere lead out."""
    (tmp_path / "disk" / "n").mkdir(parents=True)
    (place.path / "weights").symlink_to(tmp_path / "disk")
    place.write("weights/n/x", b"1")
    assert (tmp_path / "disk/n/x").read_bytes() == b"1"
    assert place.follow("weights/n/x") == "weights/n/x"
    assert [entry.key for entry in place.entries("weights")] == ["weights/n/x"]
    assert place.key_of(tmp_path / "disk/n/x") == "weights/n/x"
    with pytest.raises(StorageError, match="among the store's own files"):
        outside(place, tmp_path / "disk" / "new.csv")
    (place.path / "weights/n/out").symlink_to(tmp_path)
    (place.path / "weights/n/loop").symlink_to("loop")
    (place.path / "weights/n/same").symlink_to("x")
    assert place.follow("weights/n/out/y") is None
    assert place.follow("weights/n/loop") is None
    assert place.follow("weights/n/same") == "weights/n/x"
    assert [entry.key for entry in place.entries("weights")] == ["weights/n/x"]


def test_a_full_disk_and_a_missing_folder(
    place: LocalPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No commit is begun on a disk with less than a megabyte, or where there is no folder."""
    place.check_writable("")
    with pytest.raises(FileNotFoundError):
        place.check_writable("labels")
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(OSError, match="No space left"):
        place.check_writable("")


# The rule of the seam, read from the source

SEAM = {"store/local.py", "store/places.py"}
"""The files that may join paths onto a store's root."""


def sources() -> Iterator[tuple[str, ast.Module]]:
    """Yield the program's files and their syntax trees."""
    for folder in ("store", "queries", "cli", "src/fstore"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if name not in SEAM:
                yield name, ast.parse(path.read_text())


def broken_rules(tree: ast.Module) -> Iterator[int]:
    """Yield the lines that reach around the seam.

    Three rules: nobody reads a store's ``path``; nobody joins a path onto what ``local()`` gives,
    for keys are joined, not paths; nobody but the seam knows the kind of place.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr="path", value=ast.Name(id=owner) | ast.Attribute(attr=owner)):
                wrong = owner in {"store", "_store", "place", "_place"}
            case ast.BinOp(op=ast.Div(), left=ast.Call(func=ast.Attribute(attr="local"))):
                wrong = True
            case ast.Attribute(attr="joinpath", value=ast.Call(func=ast.Attribute(attr="local"))):
                wrong = True
            case ast.Name(id="LocalPlace") | ast.alias(name="LocalPlace"):
                wrong = True
            case _:
                wrong = False
        if wrong:
            yield getattr(node, "lineno", 0)


def test_paths_of_a_store_go_through_its_place() -> None:
    """No file but the seam's joins paths onto a store's root, or knows that it is a folder."""
    wrong = [f"{name}:{line}" for name, tree in sources() for line in broken_rules(tree)]
    assert wrong == []


@pytest.mark.parametrize(
    "code",
    [
        'x = store.path / "labels"',
        "read(self.store.path)",
        'place.local("images") / name',
        'store.place.local("").joinpath("x")',
        "from fstore.store.local import LocalPlace",
        "LocalPlace(folder)",
    ],
)
def test_the_rule_sees(code: str) -> None:
    """Each way around the seam is seen."""
    assert list(broken_rules(ast.parse(code)))
