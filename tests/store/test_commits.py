"""A commit is tried again while other writers are quicker, in one place."""

import ast
from pathlib import Path

import pytest
from deltalake.exceptions import CommitFailedError

from fstore.errors import StorageError
from fstore.store import commits
from fstore.store.commits import until_committed

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait for nobody."""
    monkeypatch.setattr(commits, "RETRY_SECONDS", 0)


@pytest.mark.parametrize("conflicts", [0, 1, commits.COMMIT_TRIES - 1])
def test_others_are_waited_for(conflicts: int) -> None:
    """An attempt that others beat is made again, and no more often than it takes."""
    calls: list[int] = []

    def attempt() -> str:
        calls.append(1)
        if len(calls) <= conflicts:
            raise CommitFailedError("another writer was quicker")
        return "done"

    assert until_committed("labels", attempt) == "done"
    assert len(calls) == conflicts + 1


def test_endless_conflicts() -> None:
    """Who is always beaten is told the table and how often."""
    calls: list[int] = []

    def attempt() -> None:
        calls.append(1)
        raise CommitFailedError("another writer was quicker")

    with pytest.raises(StorageError, match=r"'labels': 100 commits in a row met another writer's"):
        until_committed("labels", attempt)
    assert len(calls) == 100


@pytest.mark.parametrize("error", [StorageError("full"), KeyboardInterrupt(), ValueError("bug")])
def test_other_errors_end_it(error: BaseException) -> None:
    """What is no conflict is not tried again."""
    calls: list[int] = []

    def attempt() -> None:
        calls.append(1)
        raise error

    with pytest.raises(type(error)):
        until_committed("labels", attempt)
    assert len(calls) == 1


def loops_over_conflicts(tree: ast.Module) -> list[int]:
    """Return the lines of loops in which a conflict between writers is caught."""
    return [
        loop.lineno
        for loop in ast.walk(tree)
        if isinstance(loop, ast.For | ast.While)
        for handler in ast.walk(loop)
        if isinstance(handler, ast.ExceptHandler) and handler.type is not None
        if "CommitFailedError" in ast.unparse(handler.type)
    ]


def test_there_is_one_such_loop() -> None:
    """No other function tries a commit again by itself."""
    files = [
        path for room in ("store", "queries", "src/fstore") for path in (ROOT / room).rglob("*.py")
    ]
    loops = {
        path.resolve().relative_to(ROOT).as_posix()
        for path in files
        if loops_over_conflicts(ast.parse(path.read_text()))
    }
    assert loops == {"store/commits.py"}
