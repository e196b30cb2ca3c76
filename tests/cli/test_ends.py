"""How commands end before their time: signals, limits, pipes that break."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from fstore.store import Store

LONG = "SELECT count(*) FROM range(1000000000) a, range(1000000) b"
SPILLS = "SELECT DISTINCT md5(i::VARCHAR) AS a, md5((i + 1)::VARCHAR) FROM range(500000000) r(i)"
LATEST = 5.0
"""Seconds in which a command must be over: one on an idle machine, more on a busy one."""

STOPS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Make a folder with an empty store, and one for temporary files."""
    Store.create(tmp_path / "store")
    (tmp_path / "tmp").mkdir()
    return tmp_path


def start(place: Path, words: Sequence[str], **more: object) -> "subprocess.Popen[str]":
    """Start the program."""
    command = [sys.executable, "-m", "fstore", "--store", str(place / "store"), *words]
    environment = {**os.environ, "TMPDIR": str(place / "tmp"), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(command, text=True, env=environment, cwd=place, **pipes)  # type: ignore[call-overload, no-any-return]


def stop(process: "subprocess.Popen[str]", number: signal.Signals) -> tuple[int, str, float]:
    """Send a signal; return status, stderr and seconds until the end."""
    process.send_signal(number)
    sent = time.monotonic()
    _, errors = process.communicate(timeout=30)
    return process.returncode, errors, time.monotonic() - sent


def left(place: Path) -> Iterator[Path]:
    """Yield what lies in the folder beside the store's own files."""
    yield from (place / "tmp").iterdir()
    yield from (p for p in place.iterdir() if p.name not in {"store", "tmp"})
    yield from (p for p in (place / "store").rglob("*") if p.suffix == ".tmp")


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (signal.SIGINT, ["sql", LONG]),
        (signal.SIGTERM, ["sql", SPILLS, "--parquet", "out.parquet"]),
        (signal.SIGHUP, ["sql", LONG, "--json"]),
    ],
)
def test_a_signal_ends_a_query(place: Path, number: signal.Signals, words: list[str]) -> None:
    """Ctrl-C, SIGTERM and SIGHUP end a query at once, with one line, and leave no file."""
    process = start(place, words)
    time.sleep(3)  # it computes by now
    status, errors, seconds = stop(process, number)
    assert status == STOPS[number], errors
    assert errors.count("\n") == 1
    assert "what was finished is kept" in errors
    assert seconds < LATEST
    assert not list(left(place))


BUSY = """
import sys, time
import numpy as np
from fstore import ending
ending.install()
from fstore.ending import leftover
from pathlib import Path
path = Path(sys.argv[1])
with leftover(path):
    path.write_text("half")
    print("at work", flush=True)
    try:
        X = np.ones((6000, 6000))
        while True:
            X = np.linalg.svd(X)[0]  # minutes, in a library that looks for no signal
    finally:  # as every writer of a file does, if it is heard in time
        path.unlink()
"""


def test_a_signal_ends_a_library_that_hears_none(tmp_path: Path) -> None:
    """A process inside a long call of NumPy ends within a second, and its file is removed."""
    command = [sys.executable, "-c", BUSY, str(tmp_path / "part")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        assert p.stdout is not None
        assert p.stdout.readline() == "at work\n"
        time.sleep(0.5)
        p.send_signal(signal.SIGTERM)
        sent = time.monotonic()
        _, errors = p.communicate(timeout=60)
    assert (p.returncode, errors) == (143, "ended by SIGTERM; what was finished is kept\n")
    assert time.monotonic() - sent < LATEST
    assert not (tmp_path / "part").exists()


IMPORTED = """
import time
try:
    print("loading", flush=True)
    time.sleep({seconds})
except BaseException:  # what the C++ of a library takes for the end of the world
    print("disturbed", flush=True)
    raise
"""

IMPORTS = """
import sys, time
from fstore import ending
ending.install()
sys.path.insert(0, sys.argv[1])
try:
    import slow_to_load
    time.sleep(30)
finally:
    print("unwound", flush=True)
"""


@pytest.mark.parametrize(("seconds", "after"), [(0.2, "unwound\n"), (30, "disturbed\nunwound\n")])
def test_a_signal_waits_for_an_import(tmp_path: Path, seconds: float, after: str) -> None:
    """Nothing is raised inside an import that is short; through a long one the process unwinds."""
    (tmp_path / "slow_to_load.py").write_text(IMPORTED.format(seconds=seconds))
    command = [sys.executable, "-c", IMPORTS, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as p:
        assert p.stdout is not None
        assert p.stdout.readline() == "loading\n"
        p.send_signal(signal.SIGTERM)
        sent = time.monotonic()
        output, errors = p.communicate(timeout=60)
    assert (p.returncode, output) == (143, after)
    assert errors == "ended by SIGTERM; what was finished is kept\n"
    assert time.monotonic() - sent < LATEST


WITHIN = """
import sys, time
from fstore import ending
ending.install()
sys.path.insert(0, sys.argv[1])
try:
    with ending.within(0.1):
        import slow_to_load
    print("not ended", flush=True)
finally:
    print("unwound", flush=True)
time.sleep(30)
"""


def test_a_time_limit_that_ends_in_an_import(tmp_path: Path) -> None:
    """It counts as soon as the import is done, also where its block ends with that."""
    (tmp_path / "slow_to_load.py").write_text(IMPORTED.format(seconds=0.3))
    command = [sys.executable, "-c", WITHIN, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (1, "loading\nunwound\n")
    assert "stopped after 0.1 s, as --timeout says" in done.stderr


def test_the_hook_of_a_schedule_ends_with_it(place: Path) -> None:
    """A hook's child processes are killed when the process that waits for it is stopped."""
    code = (
        "import sys; from fstore import ending; ending.install();"
        "from fstore.queries.schedule.hooks import Hooks, call_hooks;"
        "call_hooks(Hooks(on_change=('sh', '-c', 'sleep 300 & echo $! > pid; wait')),"
        "dict(events=['change'], store='', study='', changed=[], exit='ok'), print)"
    )
    with subprocess.Popen([sys.executable, "-c", code], cwd=place, stderr=subprocess.PIPE) as p:
        pid = place / "pid"
        while not (pid.exists() and pid.read_text().strip()):
            time.sleep(0.05)
        child = int(pid.read_text())
        os.kill(child, 0)  # it is there
        p.send_signal(signal.SIGTERM)
        assert p.wait(timeout=LATEST) == 143
    for _ in range(50):
        if not Path(f"/proc/{child}").exists() or "Z" in Path(f"/proc/{child}/stat").read_text():
            return
        time.sleep(0.05)
    pytest.fail(f"process {child} goes on")


def test_timeout(place: Path) -> None:
    """``--timeout`` ends a query with status 1 and says so; no limit below 0 is taken."""
    began = time.monotonic()
    process = start(place, ["sql", LONG, "--timeout", "1"])
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == "error: stopped after 1 s, as --timeout says; what was finished is kept\n"
    assert time.monotonic() - began < 20
    assert not list(left(place))
    process = start(place, ["sql", "SELECT 1", "--timeout", "-1"])
    assert "is no time limit" in process.communicate(timeout=60)[1]
    assert process.returncode == 2


def test_a_reader_that_leaves(place: Path) -> None:
    """``| head``: status 141 as other tools have it, and nothing on stderr."""
    process = start(place, ["sql", "SELECT * FROM range(3000000)", "--csv"])
    assert process.stdout is not None
    assert [process.stdout.readline() for _ in range(3)] == ["range\n", "0\n", "1\n"]
    assert process.stderr is not None
    process.stdout.close()
    with process.stderr:
        assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141


@pytest.mark.parametrize(
    ("redirection", "why"),
    [(">&-", "standard output: it is closed"), ("> /dev/full", "No space left on device")],
)
def test_a_stdout_that_takes_nothing(place: Path, redirection: str, why: str) -> None:
    """A closed or full stdout is an error in one line: the result is lost."""
    words = f"'{sys.executable}' -m fstore --store '{place / 'store'}' sql 'SELECT 1'"
    done = subprocess.run(
        ["sh", "-c", f"{words} {redirection}"], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: ")
    assert why in done.stderr


def test_a_background_job_of_a_shell_ignores_ctrl_c(place: Path) -> None:
    """Where the caller has switched Ctrl-C off, it stays off; SIGTERM ends the command."""
    command = [sys.executable, "-m", "fstore", "--store", str(place / "store"), "sql", LONG]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    finally:
        signal.signal(signal.SIGINT, before)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    time.sleep(1)
    assert process.poll() is None
    status, _, _ = stop(process, signal.SIGTERM)
    assert status == 143


COMMANDS = (
    ["status"],
    ["sql", LONG],
    ["sql", SPILLS, "--parquet", "out.parquet"],
    ["dataset", "add", "digits", "--format", "digits"],
    ["ckpt", "init", "--network", "caffenet-mini", "--name", "a"],
    ["layers", "alexnet"],
    ["report", "list"],
    ["analyze", "classification", "--layer", "fc7", "--ckpt", "5", "--dataset", "digits"],
    ["schedule", "--cron", "0 0 1 1 *"],
)


def wait_for_handlers(pid: int) -> None:
    """Wait until a program has set its own handler of SIGTERM, or has ended."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            status = Path(f"/proc/{pid}/status").read_text()
        except OSError:
            return
        caught = next((w for w in status.splitlines() if w.startswith("SigCgt:")), "SigCgt: -1")
        if int(caught.split()[1], 16) & 1 << (signal.SIGTERM - 1) or "Z (zombie)" in status:
            return
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_a_signal_at_any_moment(place: Path, seed: int) -> None:
    """Whatever a command does, also while it loads: the signal's status, no traceback, no file."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    words, number = draw.choice(COMMANDS), draw.choice(sorted(STOPS))
    process = start(place, words)
    wait_for_handlers(process.pid)  # before, Python itself is starting
    time.sleep(draw.uniform(0, 3.5))
    ended = process.poll() is not None
    status, errors, seconds = stop(process, number)
    assert "Traceback" not in errors
    assert seconds < LATEST
    assert not [p for p in left(place) if p.name != "out.parquet" or not ended]
    if not ended and status not in {0, 1}:  # it may have come to its own end just then
        # while Python itself ends, the signal does: a shell shows the same status for both
        assert status in {STOPS[signal.Signals(number)], -number}, errors


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_searching_processes_end_with_their_parent(place: Path, number: signal.Signals) -> None:
    """A search for proposals that is killed or stopped ends silently, with its processes."""
    for words in (["dataset", "add", "scenes", "--format", "digit-scenes"],):
        start(place, words).communicate(timeout=120)
    words = ["proposals", "--dataset", "scenes", "--method", "components", "--workers", "2"]
    process = start(place, words)
    folder = place / "store" / "proposals"
    deadline = time.monotonic() + 60
    while not list(folder.rglob("*.npy")) and time.monotonic() < deadline:
        time.sleep(0.02)
    status, errors, seconds = stop(process, number)
    assert status == {signal.SIGKILL: -9}.get(number, STOPS.get(number))
    assert errors.count("\n") == (0 if number == signal.SIGKILL else 1)
    assert "semaphore" not in errors
    assert seconds < LATEST
