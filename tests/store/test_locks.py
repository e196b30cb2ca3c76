"""Locks keep threads and processes apart, and go with who holds them."""

import errno
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from fstore.errors import StorageError
from fstore.store import locks
from fstore.store.locks import alone, is_held

HOLD = """
import sys, time
from pathlib import Path
from fstore.store.locks import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_free_lock_is_not_waited_for(tmp_path: Path) -> None:
    """One after the other nobody waits; the file stays."""
    waits: list[int] = []
    for _ in range(2):
        with alone(tmp_path / "locks" / "a.lock", lambda: waits.append(1)):
            pass
    assert waits == []
    assert (tmp_path / "locks" / "a.lock").exists()


def test_threads_wait_for_one_another(tmp_path: Path) -> None:
    """A second thread is told to wait, and goes on when the first is done."""
    order: list[str] = []

    def second() -> None:
        with alone(tmp_path / "a.lock", lambda: order.append("waits")):
            order.append("second")

    with alone(tmp_path / "a.lock"):
        thread = Thread(target=second)
        thread.start()
        while not order:
            thread.join(0.01)
        order.append("first")
    thread.join(60)
    assert [step for step in order if step != "waits"] == ["first", "second"]


def test_who_waits_may_give_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits is asked at each look, and ends the waiting by raising."""
    monkeypatch.setattr(locks, "POLL_SECONDS", 0.01)
    looks: list[int] = []

    def third_time() -> None:
        looks.append(1)
        if len(looks) == 3:
            raise KeyboardInterrupt

    with alone(tmp_path / "a.lock"):
        with pytest.raises(KeyboardInterrupt), alone(tmp_path / "a.lock", third_time):
            pass
        assert len(looks) == 3


def test_looking_at_a_lock(tmp_path: Path) -> None:
    """A lock that nobody made, or that was let go, is not held; one that cannot be read may be."""
    path = tmp_path / "a.lock"
    assert not is_held(path)
    with alone(path):
        assert is_held(path)
    assert not is_held(path)
    assert is_held(tmp_path)


def test_a_killed_process_frees_its_lock(tmp_path: Path) -> None:
    """After SIGKILL of who held it the lock is free."""
    path = tmp_path / "a.lock"
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        process.send_signal(signal.SIGKILL)
        process.wait()
    with alone(path, lambda: pytest.fail("it is held still")):
        pass


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    """A folder that is a file is a named error."""
    (tmp_path / "locks").write_text("")
    with pytest.raises(StorageError, match="cannot lock"), alone(tmp_path / "locks" / "a.lock"):
        pass


@pytest.mark.parametrize("looks", [0, 1])
def test_a_file_system_without_locks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """Where the system refuses to lock, at once or while one waits, that is a named error."""
    left = looks

    def refuse(_file: object, _how: int) -> None:
        nonlocal left
        if left == 0:
            raise OSError(errno.ENOTSUP, "Operation not supported")
        left -= 1
        raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")

    monkeypatch.setattr("fcntl.flock", refuse)
    path = tmp_path / "a.lock"
    with pytest.raises(StorageError, match=r"cannot lock .*a\.lock: .*not supported"), alone(path):
        pass
