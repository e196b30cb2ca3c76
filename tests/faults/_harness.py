"""Commands in processes of their own that are forked, so that a run costs no second of imports.

A fork server has imported everything and run nothing; each command, each rerun and each look at a
store is a fork of it.
"""

import multiprocessing
import os
import random
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path

__all__ = [
    "Moment", "call", "copy", "finish", "fork", "kill_at", "measure", "moments", "run", "run_here",
    "start", "surrounded",
]  # fmt: skip

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    ["fstore.cli", "torch", "torchvision", "deltalake", "duckdb", "polars", "pyarrow.parquet",
     "sklearn.svm", "scipy.optimize", "safetensors.torch", "fstore.workflows.extract.run",
     "fstore.workflows.train.run", "fstore.workflows.proposals", "fstore.workflows.detect",
     "fstore.queries.refresh.driver"]
)  # fmt: skip
THREADS = "OMP_NUM_THREADS"
_variables: dict[str, str] = {}
LONGEST_S = 600.0
CHANGES = {"os.rename", "os.remove", "os.link", "os.mkdir", "os.rmdir", "os.truncate", "os.utime"}


@dataclass(frozen=True)
class Moment:
    """When a command is killed: seconds after its start, or after a change of a file.

    With ``change`` above 0 the seconds count from that change of a file or folder on: commits are
    short, and moments by the clock alone seldom meet them.
    """

    seconds: float
    change: int = 0


def copy(base: Path, place: Path) -> Path:
    """Copy a store, over one that was there."""
    shutil.rmtree(place, ignore_errors=True)
    shutil.copytree(base, place, symlinks=True)
    return place


def run(root: Path, words: Sequence[str]) -> tuple[int, str]:
    """Run a command over a store; return its status and what it said on stderr and stdout."""
    process = _start(root, words, Moment(LONGEST_S))
    return _end(process, LONGEST_S), _log(root).read_text(encoding="utf-8")


def measure(root: Path, words: Sequence[str]) -> tuple[float, int]:
    """Run a command undisturbed; return its seconds, and how often it changed files by name."""
    began = time.perf_counter()
    status = _end(_start(root, words, Moment(0, sys.maxsize)), LONGEST_S)
    seconds = time.perf_counter() - began
    assert status == 0, _log(root).read_text(encoding="utf-8")
    return seconds, _changes(root).stat().st_size


def moments(n: int, seed: int, seconds: float, changes: int) -> list[Moment]:
    """Draw moments: by the clock over the whole run, and within 10 ms of a change, in turn."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    return [
        Moment(draw.uniform(0, 0.01), draw.randint(1, max(changes, 1)))
        if i % 2
        else Moment(draw.uniform(0, seconds))
        for i in range(n)
    ]


def kill_at(root: Path, words: Sequence[str], moment: Moment) -> bool:
    """Run a command and kill it at a moment; return whether it was alive until then."""
    process = _start(root, words, moment)
    status = _end(process, LONGEST_S if moment.change else moment.seconds)
    return status == -signal.SIGKILL


def call(function: Callable[..., None], *arguments: object) -> None:
    """Call a function of a module in a fork; it hands its results back in files."""
    assert finish(fork(function, *arguments)) == 0, f"{function.__name__}{arguments}"


def fork(function: Callable[..., None], *arguments: object) -> BaseProcess:
    """Start a function in a fork."""
    process = _context.Process(target=_called, args=(dict(_variables), function, arguments))
    with _one_thread():
        process.start()
    return process


@contextmanager
def _one_thread() -> Iterator[None]:
    """Have the fork server, if it starts now, compute with one thread; leave this process alone.

    What else this process starts has as many threads as itself: weights depend on their number.
    """
    given = os.environ.get(THREADS)
    os.environ.setdefault(THREADS, "1")
    try:
        yield
    finally:
        if given is None:
            del os.environ[THREADS]


@contextmanager
def surrounded(variables: Mapping[str, str]) -> Iterator[None]:
    """Give forks some environment variables; those of the fork server are as old as it is."""
    _variables.update(variables)
    try:
        yield
    finally:
        _variables.clear()


def _called(
    variables: dict[str, str], function: Callable[..., None], arguments: tuple[object, ...]
) -> None:
    os.environ.update(variables)
    function(*arguments)


def start(root: Path, words: Sequence[str], mark: str) -> BaseProcess:
    """Start a command beside others; ``mark`` is part of its log's name."""
    return fork(_command, root, list(words), Moment(LONGEST_S), mark)


def finish(process: BaseProcess) -> int:
    """Wait for a process, and return its status."""
    return _end(process, LONGEST_S)


def _log(root: Path, mark: str = "") -> Path:
    return root.parent / f"{root.name}{mark}.log"


def _changes(root: Path) -> Path:
    return root.parent / f"{root.name}.changes"


def _start(root: Path, words: Sequence[str], moment: Moment) -> BaseProcess:
    return fork(_command, root, list(words), moment)


def _end(process: BaseProcess, seconds: float) -> int:
    """Wait for a process, kill it after some seconds, and return its status."""
    process.join(seconds)
    if process.exitcode is None:
        process.kill()
        process.join()
    status = process.exitcode
    assert status is not None
    process.close()
    return status


def _command(root: Path, words: list[str], moment: Moment, mark: str = "") -> None:
    log = os.open(_log(root, mark), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    if moment.change:
        _watch(_changes(root), moment)
    run_here(root, words, log)


def run_here(root: Path | str, words: Sequence[str], log: int) -> None:
    """Run a command in this process, and end it; what it says goes into an open file."""
    os.dup2(log, 1)
    os.dup2(log, 2)
    sys.argv = ["fstore", "--store", str(root), *words]
    from fstore.cli import main

    main()


def _watch(counts: Path, moment: Moment) -> None:
    """Write a byte for each change of a file; kill this process after one of them."""
    out = os.open(counts, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    left = [moment.change]

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event in CHANGES or (event == "open" and _writes(arguments)):
            os.write(out, b".")
            left[0] -= 1
            if left[0] == 0:
                threading.Thread(target=_kill_self, args=(moment.seconds,), daemon=True).start()

    sys.addaudithook(watch)


def _writes(arguments: tuple[object, ...]) -> bool:
    flags = arguments[2]
    return isinstance(flags, int) and bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))


def _kill_self(seconds: float) -> None:
    time.sleep(seconds)
    os.kill(os.getpid(), signal.SIGKILL)
