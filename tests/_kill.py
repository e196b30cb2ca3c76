"""Kill runs at random moments: real processes, real SIGKILL."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

__all__ = ["run_code", "run_with_kills"]


def run_code(code: str, *arguments: object) -> str:
    """Run Python code in a process of its own, in which tests' modules can be imported."""
    done = subprocess.run(_command(code, arguments), check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def run_with_kills(
    code: str, *arguments: object, kills: int, longest: int, seed: int = 0
) -> list[int]:
    """Run code several times, each time but the last killed with SIGKILL at a random moment.

    Parameters
    ----------
    code : str
        Python; prints a line after each iteration that it does (``flush=True``).
    *arguments
        In ``sys.argv[1:]``.
    kills : int
        Runs that are killed.
    longest : int
        Iterations after which a run is killed, at most; it must not end before.
    seed : int
        Of the moments: after a random iteration, and a random part of the next one or two.

    Returns
    -------
    list of int
        The iterations (the lines, as numbers) that were done last before each kill.
    """
    rng = random.Random(seed)  # noqa: S311 - no secret
    command = _command(code, arguments)
    last = [_kill_one(command, rng.randint(1, longest), rng.random()) for _ in range(kills)]
    run_code(code, *arguments)
    return last


def _command(code: str, arguments: Sequence[object]) -> list[str]:
    found = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
    return [sys.executable, "-c", found + code, *map(str, arguments)]


def _kill_one(command: list[str], lines: int, part: float) -> int:
    """Kill a run some lines after its start, and a part of two lines' time later."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line, began = process.stdout.readline(), time.perf_counter()
        for _ in range(lines - 1):
            line = process.stdout.readline()
        assert line, f"the run ended by itself, with status {process.wait()}"
        pace = (time.perf_counter() - began) / (lines - 1) if lines > 1 else 0.05
        time.sleep(2 * part * pace)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, "the run ended before it was killed"
        return int(line)
