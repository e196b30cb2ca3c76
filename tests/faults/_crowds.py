"""Several writers at once, and readers while files are put together or dropped."""

import json
import time
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
from _bases import make_noise, named
from _contents import save
from _figures import Figures, campaign, rounds
from _harness import call, copy, finish, fork, measure, start
from _kills import count, judged

from _build import build, put
from fstore.errors import FstoreError
from fstore.store import Store

__all__ = ["read_on"]

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7")
EXTRACT = ("extract", "--ckpt", "random", "--batch-size", "3", "--workers", "1", "--shard-mib", "1")


def writers(place: Path, n: int, seed: int, *, crowd: int, same: bool) -> Figures:  # noqa: ARG001
    """Let some processes extract at once, n times, the same layers or each another."""
    figures = Figures(f"{crowd} writers, {'the same' if same else 'different'} partitions")
    ready, right = place / "ready", place / "right.pickle"
    make_noise(ready)
    layers = LAYERS[:2] if same else LAYERS[:crowd]
    every = (*EXTRACT, *(w for name in layers for w in ("--layer", name)))
    whole = copy(ready, place / "whole")
    measure(whole, every)
    call(save, whole, right)
    for i in rounds(n):
        root = copy(ready, place / f"shot{i}")
        crew = [
            start(root, every if same else (*EXTRACT, "--layer", LAYERS[k % len(LAYERS)]), f"{k}")
            for k in range(crowd)
        ]
        status = [finish(process) for process in crew]
        figures.injected += crowd
        seen = judged(root, every, right)
        count(figures, seen, f"round {i}: {status}", refused=any(status), weight=crowd)
    return figures


def readers(place: Path, n: int, seed: int, *, words: tuple[str, ...]) -> Figures:  # noqa: ARG001
    """Ask a store again and again while a command changes its files, n times."""
    figures = Figures(f"readers during {words[0]}")
    for i in rounds(n):
        root, out = place / f"shot{i}", place / f"answers{i}.json"
        _small_files(root)
        reader = fork(read_on, root, out)
        while not out.with_suffix(".began").exists():
            time.sleep(0.01)
        status = finish(start(root, words, "0"))
        assert status == 0, words
        out.with_suffix(".stop").touch()
        assert finish(reader) == 0
        seen = Counter(json.loads(out.read_text()))
        figures.injected += seen.total()
        figures.harmless += seen["right"]
        figures.told += seen["told"]
        figures.silent += seen["wrong"]
        figures.notes += [f"{k}: {v}" for k, v in seen.items() if k not in {"right", "told"}]
    return figures


def _small_files(path: Path) -> None:
    """Make a store whose checkpoint 15 lies in a file a sample, and 5 in one file."""
    built = build(path)
    for layer, values in built.values.items():
        for k in range(len(values)):
            put(built.store, built.partition(layer, "15"), values[k : k + 1], sample_ids=[k])


def read_on(root: Path, out: Path) -> None:
    """Sum both checkpoints until there is a file that says stop; write what the answers were.

    What is stored is the same under both, so each answer is that of the first one, or, of what
    was dropped, nothing.
    """
    asked = "SELECT count(*) AS n, sum(act_max) AS s FROM activations WHERE ckpt = ?"
    first = _ask(Store.open(root), asked, "5")
    held, seen = Store.open(root), Counter[str]()
    while not out.with_suffix(".stop").exists():
        for store in (held, Store.open(root)):
            for ckpt in ("5", "15"):
                seen[_judge(store, asked, ckpt, first)] += 1
        out.with_suffix(".began").touch()
    out.write_text(json.dumps(seen))


def _judge(store: Store, asked: str, ckpt: str, first: tuple[int, float]) -> str:
    try:
        n, total = _ask(store, asked, ckpt)
    except FstoreError:
        return "told"
    right = n == first[0] and bool(np.isclose(total, first[1], rtol=1e-6))
    return "right" if right or (n == 0 and ckpt == "15") else "wrong"


def _ask(store: Store, asked: str, ckpt: str) -> tuple[int, float]:
    (row,) = store.sql(asked, [ckpt]).rows()
    return int(row["n"]), float(row["s"] or 0)


for _crowd in (2, 8):
    for _same in (True, False):
        campaign(f"writers-{_crowd}-{'same' if _same else 'different'}", n=5, small=1)(
            partial(writers, crowd=_crowd, same=_same)
        )
campaign("readers-compact", n=10, small=1)(partial(readers, words=named("compact").words))
campaign("readers-drop", n=10, small=1)(partial(readers, words=("drop", "--ckpt", "15", "--yes")))
