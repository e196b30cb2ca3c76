"""A site of every report that a small store can have, with a class of an evil name."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from _cli import run
from _studies import CKPTS, STUDY, make_study
from fstore.queries.studies.study import set_study
from fstore.store import Store

EVIL = "<script>document.title='evil'</script>&%{x}"
"""A class: markup, an entity's beginning and a beginning of an expression."""

TUNED = """
tuned = [
    { task = "classification", mode = "scratch", ckpts = ["15k", "5k", "15k"] },
    { task = "classification", mode = "fc-ft", parent = "5k", ckpts = ["5k", "15k", "5k"] },
    { task = "classification", mode = "ft", parent = "5k", ckpts = ["15k", "15k", "5k"] },
]
"""


@dataclass(frozen=True)
class Site:
    """A built site and the store that it shows."""

    store: Store
    folder: Path


def make_site(path: Path) -> Site:
    """Make the store, its study and the site; only table 8 lacks what it reads: proposals."""
    rng = np.random.default_rng(5)
    tensors = {
        ckpt: {"conv1.weight": rng.normal(size=(6, 3, 4, 4)).astype(np.float32)}
        for ckpt in sorted(CKPTS)
    }
    store = make_study(path / "s", classes=("cat", EVIL, "bus", "car"), tensors=tensors).store
    text = STUDY.replace("[pretrain]", f"{TUNED}[pretrain]", 1)
    set_study(store, text)
    folder = path / "site"
    done = run(store, "report", "build", str(folder))
    assert (done.exit_code, done.stdout) == (0, f"{folder / 'index.html'}\n"), done.output
    return Site(store, folder)


def shown_rows(store: Store, name: str) -> list[dict[str, object]]:
    """Return what ``report show NAME --json --beside`` prints."""
    rows: list[dict[str, object]] = json.loads(
        run(store, "report", "show", name, "--json", "--beside").stdout
    )
    return rows
