"""Cost of starting: CPU seconds of whole processes, user and system together, medians.

    python benchmarks/starts.py STORE [--rounds 7] [--old DIR]

Commands run on a store that is there; STORE may be any, the figures of the documents are those of
what ``fstore demo`` makes. With ``--old``, another checkout's ``src`` runs the same commands, each
directly before ours, so that what else the machine does falls on both. Python keeps the bytecode
of its files, as it does for users, in a folder of the benchmark's own; a first run fills it.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
ROW = "SELECT network, layer, sample_id, channel, act_max FROM activations LIMIT 1"
COMMANDS: dict[str, tuple[float | None, list[str]]] = {
    "--help": (0.15, ["--help"]),
    "networks": (0.3, ["networks"]),
    "networks --library timm": (None, ["networks", "--library", "timm", "resnet*"]),
    "status": (0.4, ["status"]),
    "sql, first row": (0.4, ["sql", ROW]),
    "sql of a small table": (0.4, ["sql", "SELECT name, format FROM datasets"]),
    "layers caffenet": (None, ["layers", "caffenet"]),
    "extract --help": (None, ["extract", "--help"]),
}
"""What is run, and the CPU seconds that it should stay below, where that was said."""


def seconds(source: Path, store: Path, command: list[str], *, compiled: str) -> float:
    """Return the CPU seconds of one run, with those of what it starts."""
    program = [sys.executable, "-m", "fstore", "--store", str(store), *command]
    env = {**os.environ, "PYTHONPATH": str(source / "src"), "OMP_NUM_THREADS": "1"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    env["PYTHONPYCACHEPREFIX"] = compiled
    with subprocess.Popen(
        program, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as run:
        _, status, used = os.wait4(run.pid, 0)
        run.returncode = os.waitstatus_to_exitcode(status)
    if run.returncode:
        raise SystemExit(f"{' '.join(program)} ended with status {run.returncode}")
    return used.ru_utime + used.ru_stime


def measured(trees: list[Path], store: Path, command: list[str], *, rounds: int) -> list[float]:
    """Return the median seconds of each tree; the trees take turns."""
    with tempfile.TemporaryDirectory() as compiled:
        runs = [
            [
                seconds(tree, store, command, compiled=f"{compiled}/{i}")
                for i, tree in enumerate(trees)
            ]
            for _ in range(rounds + 1)
        ]
    return [statistics.median(of_tree) for of_tree in zip(*runs[1:], strict=True)]


def main() -> None:
    """Print CPU seconds of every command, beside those of another checkout."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--old", type=Path, help="another checkout, for the ratios")
    options = parser.parse_args()
    print(f"load {os.getloadavg()[0]:.2f}, {os.cpu_count()} cores; median of {options.rounds}")
    print(f"{'command':28} {'goal':>6} {'CPU s':>6} {'old':>6} {'ours / old':>10}")
    trees = [options.old, ROOT] if options.old else [ROOT]
    for name, (goal, command) in COMMANDS.items():
        medians = measured(trees, options.store, command, rounds=options.rounds)
        ours = medians[-1]
        text = f"{name:28} {goal or '-':>6} {ours:6.2f}"
        print(text + (f" {medians[0]:6.2f} {ours / medians[0]:10.2f}" if options.old else ""))


if __name__ == "__main__":
    main()
