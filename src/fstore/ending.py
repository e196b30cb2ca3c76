"""How the program ends before its time, and that it leaves nothing behind.

One rule: Ctrl-C, SIGTERM, SIGHUP and the end of ``--timeout`` end every command within a second.
The handler raises :class:`Stopped` in the main thread, which unwinds as for any error: runs are
recorded as interrupted, temporary folders go. Where the main thread does not get to it in time, as
it is inside a library or waits for threads, a watching thread removes what is registered here
(:func:`leftover`, :func:`child_group`) and ends the process.

An exception inside the start of a C++ library can abort the process. So while a module is imported
nothing is raised for a third of a second, and while a library is loaded nothing at all. It is
raised as soon as that is done; where it takes longer, the watching thread ends the process.
"""

import _thread
import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

__all__ = [
    "Stopped",
    "child_group",
    "finish",
    "install",
    "is_program",
    "leftover",
    "stopped",
    "tell",
    "within",
]

GRACE_SECONDS = 0.7
"""What the main thread has to unwind; what is left of a second is for ending the process."""

IMPORT_SECONDS = 0.35
"""What an import has to end by itself; the rest of the grace is for unwinding through it."""

LOOK_SECONDS = 0.02
"""From one look whether an import is done to the next."""

LONGEST_SECONDS = 1e8
"""More than three years; a longer limit is none."""

SHOW_CURSOR = "\r\x1b[K\x1b[?25h"
"""To a terminal on which a progress bar was drawn."""


class Stopped(KeyboardInterrupt):
    """The process is to end: raised in the main thread; no ``except Exception`` takes it.

    Attributes
    ----------
    status : int
        Exit status: 130 after Ctrl-C, 143 after SIGTERM, 129 after SIGHUP, 1 after a time limit.
    message : str
        A line for people.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass
class _State:
    """Of this process."""

    stopped: Stopped | None = None
    raised: bool = False
    patient: bool = True
    told: bool = False
    limit: float = 0.0
    installed: bool = False


_state = _State()
_paths: set[Path] = set()
_groups: set[int] = set()
_lock = threading.RLock()


def stopped() -> Stopped | None:
    """Return why this process is to end; None if it is not."""
    return _state.stopped


@contextmanager
def leftover(path: Path) -> Iterator[Path]:
    """Have a file or folder removed, if the process is ended by force within the block."""
    with _lock:
        _paths.add(path)
    try:
        yield path
    finally:
        with _lock:
            _paths.discard(path)


@contextmanager
def child_group(leader: int) -> Iterator[None]:
    """Have a group of processes killed, if this one is ended by force within the block.

    Parameters
    ----------
    leader : int
        Process id of the group's leader, as ``start_new_session`` makes it.
    """
    with _lock:
        _groups.add(leader)
    try:
        yield
    finally:
        with _lock:
            _groups.discard(leader)


# Signals


def install() -> None:
    """Have signals end this process by the rule above; once, in the main thread of the program.

    A signal that the caller has switched off (``nohup``, a shell's background job) stays so.
    """
    if _state.installed or threading.current_thread() is not threading.main_thread():
        return
    _state.installed = True
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _stop)
    threading.Thread(target=_watch, args=(reading,), name="fstore-ending", daemon=True).start()
    sys.excepthook = _excepthook
    sys.unraisablehook = _unraisablehook
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=_forget)


def _stop(number: int, frame: FrameType | None) -> None:
    """Raise :class:`Stopped` in the main thread; a second signal must not disturb the end."""
    if _state.stopped is None:
        _state.stopped = _reason(number)
    if not (_state.installed and _imports(frame)):
        _raise_once()


def _raise_once() -> None:
    """Raise why the process is to end, if it was not raised yet."""
    if _state.stopped is not None and not _state.raised:
        _state.raised = True
        raise _state.stopped


def _imports(frame: FrameType | None) -> bool:
    """Tell whether a module is being imported there; later, whether a library is loaded."""
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib") and (
            _state.patient or code.co_qualname.startswith("ExtensionFileLoader.")
        ):
            return True
        frame = frame.f_back
    return False


def _reason(number: int) -> Stopped:
    kept = "what was finished is kept"
    if number == signal.SIGINT:
        return Stopped(130, f"interrupted; {kept}")
    if number == getattr(signal, "SIGALRM", None):
        return Stopped(1, f"error: stopped after {_state.limit:g} s, as --timeout says; {kept}")
    return Stopped(128 + number, f"ended by {signal.Signals(number).name}; {kept}")


def _watch(reading: int) -> None:
    """End the process if the main thread does not do it soon after a signal.

    The interpreter writes the signal's number to the pipe at once, whatever the main thread does.
    """
    while True:
        for number in os.read(reading, 1):
            if signal.getsignal(number) is _stop:
                _give_time(number)
                why = _state.stopped or _reason(number)
                _end(why.status, why.message, flush=False)


def _give_time(number: int) -> None:
    """Wait for the main thread to end; signal it again as soon as an import is done."""
    main = threading.main_thread().ident or 0
    began = time.monotonic()
    while (past := time.monotonic() - began) < GRACE_SECONDS:
        _state.patient = past < IMPORT_SECONDS
        waits = _state.stopped is not None and not _state.raised
        if waits and not _imports(sys._current_frames().get(main)):
            _signal_again(main, number)
        time.sleep(min(GRACE_SECONDS - past, LOOK_SECONDS))


def _signal_again(main: int, number: int) -> None:
    """Have the main thread raise what it is to end for."""
    if hasattr(signal, "pthread_kill") and signal.getsignal(signal.SIGTERM) is _stop:
        signal.pthread_kill(main, signal.SIGTERM)  # it wakes a thread that sleeps
    else:  # Windows; does nothing for a signal that this process no longer handles
        _thread.interrupt_main(signal.Signals(number))


@contextmanager
def within(seconds: float | None) -> Iterator[None]:
    """End what is done in the block after a time, as Ctrl-C does; with status 1 and a line.

    Parameters
    ----------
    seconds : float or None
        None for no limit. Only in the main thread, and where there are alarms (not on Windows).
    """
    if seconds is None or not hasattr(signal, "setitimer"):
        yield
        return
    _state.limit = seconds
    before = signal.signal(signal.SIGALRM, _stop)
    signal.setitimer(signal.ITIMER_REAL, min(seconds, LONGEST_SECONDS))
    try:
        yield
        _raise_once()  # what an import put off
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if not _state.installed:  # a caller's process goes on
            _state.stopped, _state.raised = None, False


# The end


def tell(why: KeyboardInterrupt) -> str:
    """Return the line that says why a command ended, to be printed by the caller."""
    _state.told = True
    return why.message if isinstance(why, Stopped) else "interrupted; what was finished is kept"


def finish(status: int, message: str = "") -> None:
    """End the process at once: nothing is waited for, what is registered goes.

    Parameters
    ----------
    status : int
        Of the process.
    message : str
        A line for stderr, if none was told.
    """
    _end(status, message, flush=True)


def _end(status: int, message: str, *, flush: bool) -> None:
    _lock.acquire(timeout=0.1)  # who holds it may hang in a write to a full pipe
    _kill_children()
    _remove_leftovers()
    if message and not _state.told:
        _write(f"{SHOW_CURSOR if _terminal() else ''}{message}\n")
    if flush:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError, ValueError, AttributeError):
                stream.flush()
    os._exit(status)


def _terminal() -> bool:
    try:
        return os.isatty(2)
    except OSError:
        return False


def _write(text: str) -> None:
    with contextlib.suppress(OSError):
        os.write(2, text.encode())


def _kill_children() -> None:
    for leader in tuple(_groups):
        with contextlib.suppress(OSError):
            os.killpg(leader, signal.SIGKILL)
    if "multiprocessing" in sys.modules:
        import multiprocessing

        for child in multiprocessing.active_children():
            with contextlib.suppress(OSError, ValueError):
                child.kill()


def _remove_leftovers() -> None:
    for path in tuple(_paths):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                path.unlink()


def _excepthook(kind: type[BaseException], error: BaseException, trace: object) -> None:
    """Print no traceback for what a signal raised while the program was still loading."""
    if _state.stopped is not None:
        _end(_state.stopped.status, _state.stopped.message, flush=True)
    sys.__excepthook__(kind, error, trace)  # type: ignore[arg-type]


def _unraisablehook(unraisable: "sys.UnraisableHookArgs") -> None:
    """Say nothing of errors in finalizers of a process that is ended; the watcher ends it."""
    if _state.stopped is None:
        sys.__unraisablehook__(unraisable)


def _forget() -> None:
    """Make a forked child one that dies of signals, and removes nothing of its parent's."""
    signal.set_wakeup_fd(-1)
    _state.installed = False  # nobody watches here
    _paths.clear()
    _groups.clear()
    for number in (signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", signal.SIGTERM)):
        if signal.getsignal(number) is _stop:
            signal.signal(number, signal.SIG_DFL)


def is_program() -> bool:
    """Tell whether this process is the program ``fstore``, not one that imports the package."""
    processes = sys.modules.get("multiprocessing")
    if processes is not None and processes.parent_process() is not None:
        return False  # a worker: it runs its parent's main module again
    name = Path(sys.argv[0] if sys.argv else "")
    if name.name == "-m":  # being looked for
        words = sys.orig_argv
        module = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
        return module in {"fstore", "fstore.cli"}
    main = name.name == "__main__.py" and name.parent.name in {"fstore", "cli"}
    return main or name.name in {"fstore", "fstore.exe"}
