"""Runs the pages that teach by doing, word for word, and writes what the commands print.

    python docs/_sessions.py docs/tutorial.md    # runs the page, and puts its output there anew

In a block ``console`` a line that begins with ``$ `` is a command, ``> `` goes on with it, and what
follows is its output on stdout. A block of code that begins with ``# NAME.py`` is a file of that
name. All commands of a page run one after another in one new folder.
"""

import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Step", "differences", "played", "read", "rewritten"]

BLOCK = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# (\w+\.py)\n")
NUMBER = re.compile(r"-?\d+(?:\.\d+)?")
NEAR = 0.15
"""Share by which a number may differ: training on another processor ends in other weights. Numbers
below 1 may differ by as much, and percentages by 3."""


@dataclass
class Step:
    """A command of a page.

    Attributes
    ----------
    words : str
        As a shell takes it.
    shown, output : str
        What the page says that it prints, and what it printed.
    """

    words: str
    shown: str
    output: str = ""


def played(page: Path) -> list[Step]:
    """Run a page's commands in a new folder; return them with what they printed.

    Raises
    ------
    RuntimeError
        A command failed; with what it said.
    """
    steps: list[Step] = []
    with tempfile.TemporaryDirectory(prefix="fstore-page-") as folder:
        for kind, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            if kind == "python":
                if named := FILE.match(text):
                    (Path(folder) / named[1]).write_text(text, encoding="utf-8")
                continue
            for step in _steps(text):
                step.output = _run(step.words, folder)
                steps.append(step)
    return steps


def read(page: Path) -> list[Step]:
    """Return a page's commands with what it says that they print."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [step for kind, text in blocks if kind == "console" for step in _steps(text)]


def rewritten(page: Path) -> str:
    """Return a page's text with what its commands print now."""
    steps = iter(played(page))

    def block(found: re.Match[str]) -> str:
        if found[1] == "python":
            return found[0]
        parts = [_shown(next(steps)) for _ in _steps(found[2])]
        return f"```console\n{''.join(parts).rstrip()}\n```"

    return BLOCK.sub(block, page.read_text(encoding="utf-8"))


def differences(step: Step) -> list[str]:
    """Return what a command printed and the page does not say; numbers may differ a little."""
    shown, output = step.shown.splitlines(), step.output.splitlines()
    if len(shown) != len(output):
        return [f"{step.words}: {len(output)} lines, not {len(shown)}"]
    return [
        f"{step.words}: {now!r}, not {then!r}"
        for then, now in zip(shown, output, strict=True)
        if not _near(then, now)
    ]


def _near(then: str, now: str) -> bool:
    if NUMBER.sub("#", then).split() != NUMBER.sub("#", now).split():
        return False
    pairs = zip(map(float, NUMBER.findall(then)), map(float, NUMBER.findall(now)), strict=True)
    return all(abs(a - b) <= max(NEAR * abs(a), NEAR if abs(a) < 1 else 3) for a, b in pairs)


def _steps(block: str) -> list[Step]:
    """Read the commands of a block, and what the page says that they print."""
    steps: list[Step] = []
    for line in block.splitlines():
        if line.startswith("$ "):
            steps.append(Step(line[2:], ""))
        elif line.startswith("> ") and not steps[-1].shown:
            steps[-1].words += f"\n{line[2:]}"
        else:
            steps[-1].shown += f"{line}\n"
    for step in steps:
        step.shown = step.shown.rstrip()
    return steps


def _shown(step: Step) -> str:
    typed = "\n> ".join(step.words.split("\n"))
    return f"$ {typed}\n{step.output}\n\n" if step.output else f"$ {typed}\n"


def _run(words: str, folder: str) -> str:
    """Run a command in a folder, with the fstore of this Python; return what it prints."""
    tools = str(Path(sys.executable).parent)
    env = {k: v for k, v in os.environ.items() if k != "FSTORE_STORE"}
    env |= {"PATH": f"{tools}{os.pathsep}{env['PATH']}", "COLUMNS": "100"}
    done = subprocess.run(  # noqa: S603 - the pages are ours
        ["bash", "-c", words],  # noqa: S607
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{words}: {done.stderr}")
    lines = done.stdout.replace(f"{folder}/", "").rstrip().splitlines()
    return "\n".join(line.rstrip() for line in lines)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        Path(name).write_text(rewritten(Path(name)), encoding="utf-8")
