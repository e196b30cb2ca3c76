"""Speed of a refresh that finds nothing to do, and of looking at how reports stand.

    python benchmarks/refresh.py [--checkpoints 10] [--rounds 5] [--keep FOLDER]

Every report of the package, over a sweep of checkpoints of caffenet-mini (7 layers, random
weights), on handwritten digits and scenes made of them. After one refresh that computes all:

- ``fstore report refresh``, ``report refresh --dry-run`` and ``report list`` as processes of their
  own, from the start of Python to the last line;
- the same from Python, in a process that has done it before;
- one more checkpoint: the cells that are computed.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import fstore
from fstore.queries.refresh.driver import brought
from fstore.queries.refresh.listing import due, states
from fstore.queries.studies.study import Study, load_study, set_study
from fstore.store import Store
from fstore.workflows import add_dataset, init_checkpoint
from fstore.workflows.extract.run import ExtractionOptions, extract
from fstore.workflows.proposals import Choice, add_proposals

NETWORK = "caffenet-mini"
TUNED = ("scratch", "ft", "fc-ft")
STUDY = """
name = "bench"
network = "caffenet-mini"
layers = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7"]
mid_layer = "conv5"
top_layer = "fc7"
sweep = [{sweep}]
pretrained = "{last}"
finetuned = "ft"
tuned = [
    {{ task = "classification", mode = "scratch", ckpts = ["scratch"] }},
    {{ task = "classification", mode = "ft", parent = "{last}", ckpts = ["ft"] }},
    {{ task = "classification", mode = "fc-ft", parent = "{last}", ckpts = ["fc-ft"] }},
]
[pretrain]
dataset = "digits"
[classification]
dataset = "scenes"
[detection]
dataset = "scenes"
"""


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--checkpoints", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5, help="medians are printed")
    parser.add_argument("--keep", type=Path, help="make the store here, or measure the one there")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = given.keep or Path(name) / "store"
        if not (folder / "fstore.json").exists():
            build(folder, given.checkpoints)
        store = fstore.open(folder)
        study = load_study(store)
        first(store, study)
        measure(folder, store, study, given.rounds)
        one_more(store, study)


def build(folder: Path, n: int) -> None:
    """Make a store with all that the reports read."""
    store = fstore.create(folder)
    add_dataset(store, "digits", "digits")
    add_dataset(store, "scenes", "digit-scenes", images=60)
    add_proposals(store, "scenes", Choice(max_proposals=100), workers=1)
    names = [str(i) for i in range(n)]
    for seed, name in enumerate((*names, *TUNED)):
        add_checkpoint(store, name, seed)
    for dataset, view in (("digits", "image"), ("scenes", "proposal")):
        extract(
            store,
            layers=["conv5"],
            ckpts=names[-1:],
            datasets=[dataset],
            views=[view],
            options=ExtractionOptions(device="cpu"),
        )
    set_study(store, toml(names, names[-1]))


def add_checkpoint(store: Store, name: str, seed: int) -> None:
    """Register random weights, and extract all layers of the scenes and their boxes."""
    init_checkpoint(store, network=NETWORK, name=name, seed=seed)
    options = ExtractionOptions(device="cpu")
    extract(store, layers=["all"], ckpts=[name], datasets=["scenes"], options=options)


def first(store: Store, study: Study) -> None:
    """Compute what is stale, and print what became of every report."""
    began = time.perf_counter()
    found = list(brought(store, study))
    for one in found:
        if one.state not in {"computed", "fresh"}:
            print(f"{one.report}: {one.state} {one.error}", *map(str, one.missing), sep="\n  ")
    computed, reused = sum(r.computed for r in found), sum(r.reused for r in found)
    seconds = time.perf_counter() - began
    print(f"{len(found)} reports, {computed} cells computed, {reused} reused: {seconds:.1f} s\n")


def measure(folder: Path, store: Store, study: Study, rounds: int) -> None:
    """Print seconds of each question."""
    commands = (["refresh"], ["refresh", "--dry-run"], ["list"])
    print("| question | wall s | CPU s |\n| --- | ---: | ---: |")
    for words in commands:
        row("fstore report " + " ".join(words), partial(run, folder, words), rounds)
    row("brought()", lambda: list(brought(store, study)), rounds)
    row("due()", lambda: list(due(store, study)), rounds)
    row("states()", lambda: states(store, study), rounds)


def row(name: str, work: Callable[[], object], rounds: int) -> None:
    """Print the median times of some work."""
    times = [timed(work) for _ in range(rounds)]
    wall, cpu = (statistics.median(t) for t in zip(*times, strict=True))
    print(f"| `{name}` | {wall:.2f} | {cpu:.2f} |", flush=True)


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Return wall and CPU seconds, those of processes that it waited for included."""
    import resource

    def cpu() -> float:
        whos = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        return sum(u.ru_utime + u.ru_stime for u in map(resource.getrusage, whos))

    began, used = time.perf_counter(), cpu()
    work()
    return time.perf_counter() - began, cpu() - used


def run(folder: Path, words: list[str]) -> None:
    """Run ``fstore report`` as a process."""
    command = [sys.executable, "-m", "fstore.cli", "--store", str(folder), "report", *words]
    subprocess.run(command, check=True, capture_output=True)


def one_more(store: Store, study: Study) -> None:
    """Add a checkpoint to the sweep, print what that computes, and take it out again."""
    name = f"more{len(store.checkpoints())}"
    add_checkpoint(store, name, seed=len(store.checkpoints()))
    more = set_study(store, toml((name, *study.sweep), study.sweep[-1]))
    found = [r for r in brought(store, more) if r.state == "computed"]
    print("\none checkpoint more: " + ", ".join(f"{r.report} {r.computed} cells" for r in found))
    set_study(store, toml(study.sweep, study.sweep[-1]))


def toml(sweep: Sequence[str], last: str) -> str:
    """Return a study over some checkpoints."""
    return STUDY.format(sweep=", ".join(f'"{name}"' for name in sweep), last=last)


if __name__ == "__main__":
    main()
