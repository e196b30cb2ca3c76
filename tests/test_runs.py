"""Every kind of run is on record: what ended well, what failed and what was interrupted."""

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from deltalake import DeltaTable
from PIL import Image

from _detection import make_scenes
from _devkit import write_devkit
from _slow import slow_entry, slow_study
from _world import World, became, set_small_study
from fstore import workflows
from fstore.errors import DataError
from fstore.queries.detection.detector import load_detector
from fstore.queries.detection.run import evaluate_detector
from fstore.queries.detection.scoring import Keep
from fstore.queries.detection.training import Features, train_detector
from fstore.queries.refresh.driver import brought
from fstore.queries.reports import REPORTS
from fstore.queries.schedule.log import ScheduledJob, past_runs
from fstore.queries.schedule.loop import run_once
from fstore.store import Store
from fstore.store.parts import Samples
from fstore.store.tables import replace_rows
from fstore.workflows.detect import Search, searched_how
from fstore.workflows.extract.run import ExtractionOptions, extract
from fstore.workflows.proposals import Choice, add_proposals
from fstore.workflows.train import run as training
from fstore.workflows.train.finetune import finetune

Hook = Callable[[], None]
"""Called while the work is done."""

CONV = Features("net", "5", "conv")
SMALL: dict[str, Any] = {"batch_size": 4, "iterations": 2}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a store with pictures and scenes, of which nothing was computed yet."""
    folder = tmp_path_factory.mktemp("runs")
    store = make_scenes(folder / "store").store
    objects = {f"{i:06d}": [("cat", (11, 11, 50, 40), 0)] for i in range(4)}
    devkit = write_devkit(folder, objects, dict.fromkeys(objects, "train"))
    workflows.add_dataset(store, "pictures", "voc", root=devkit)
    for i in range(12):
        place = folder / "shapes" / "ab"[i % 2] / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(place)
    workflows.add_dataset(store, "shapes", "imagefolder", root=folder / "shapes", seeds=[0])
    workflows.init_checkpoint(store, network="caffenet-mini", name="random", seed=0)
    set_small_study(store)
    return store.path


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Store:
    """Give a copy of that store."""
    shutil.copytree(made, tmp_path / "store")
    return Store.open(tmp_path / "store")


def runs_on_disk(store: Store, kind: str) -> list[dict[str, Any]]:
    """Return the rows of a kind as any program reads them that knows Delta."""
    table = DeltaTable(str(store.path / "runs")).to_pyarrow_table().sort_by("started_at")
    return [row for row in table.to_pylist() if row["kind"] == kind]


# Work of each kind, which calls a hook


def extracting(store: Store, hook: Hook) -> None:
    """Compute a layer of pictures."""
    extract(
        store,
        layers=["fc7"],
        ckpts=["random"],
        datasets=["shapes"],
        options=ExtractionOptions(device="cpu", workers=1),
        on_progress=lambda _: hook(),
    )


def searching(store: Store, hook: Hook) -> None:
    """Find proposals."""
    choice = Choice(method="components", max_proposals=5)
    add_proposals(store, "pictures", choice, workers=1, on_progress=lambda *_: hook())


def pretraining(store: Store, hook: Hook) -> None:
    """Train from random weights."""
    options = training.TrainingOptions(device="cpu", workers=1, on_step=lambda _: hook())
    training.pretrain(store, network="caffenet-mini", dataset="shapes", options=options, **SMALL)


def finetuning(store: Store, hook: Hook) -> None:
    """Fine-tune a checkpoint."""
    options = training.TrainingOptions(device="cpu", workers=1, on_step=lambda _: hook())
    finetune(
        store,
        dataset="shapes",
        mode="ft",
        parent="caffenet-mini/random",
        split="random",
        options=options,
        **SMALL,
    )


def learning(store: Store, hook: Hook) -> None:
    """Train a detector."""
    parts = [Samples("d", "image", "official", 0, part) for part in ("train", "val")]
    train_detector(store, parts, CONV, name="x", on_progress=lambda *_: hook())


def detecting(store: Store, hook: Hook) -> None:
    """Train a detector, and detect with it."""
    learning(store, lambda: None)
    parts = [Samples("d", "image", "official", 0, "test")]
    detector = load_detector(store, "x")
    evaluate_detector(store, detector, parts, keep=Keep(), on_progress=lambda *_: hook())


def refreshing(store: Store, hook: Hook) -> None:
    """Compute a report; raise its error."""
    REPORTS._entries["slow"] = slow_entry(hook)
    try:
        for done in brought(store, slow_study(), ["slow"]):
            if done.raised is not None:
                raise done.raised
    finally:
        del REPORTS._entries["slow"]


def scheduled(store: Store, hook: Hook) -> None:
    """Do a scheduled run; raise how it ended unless well."""

    def act(*_: object) -> list[Any]:
        hook()
        return [became("table6", computed=2)]

    now = datetime.now(UTC)
    world = World(now=now, stop_at=now + timedelta(days=1), acts=[act])
    outcome = run_once(store, ScheduledJob(study="small", retries=0), world.around)
    if outcome.exit != "ok":
        raise {"failed": DataError, "interrupted": KeyboardInterrupt}[outcome.exit]


WORK: dict[str, Callable[[Store, Hook], None]] = {
    "extract": extracting,
    "proposals": searching,
    "pretrain": pretraining,
    "finetune": finetuning,
    "detector": learning,
    "detect": detecting,
    "refresh": refreshing,
    "schedule": scheduled,
}

ASKED: dict[str, tuple[str, object]] = {
    "extract": ("layers", ["fc7"]),
    "proposals": ("dataset", "pictures"),
    "pretrain": ("checkpoints", ["2"]),
    "finetune": ("checkpoints", ["random-shapes-ft"]),
    "detector": ("name", "x"),
    "detect": ("detector", "x"),
    "refresh": ("reports", ["slow"]),
    "schedule": ("study", "small"),
}
"""A parameter that says what was asked."""


@pytest.mark.parametrize("kind", WORK)
def test_what_ended_well(store: Store, kind: str) -> None:
    """A run that did what it was to do has one row, with parameters, versions and seconds."""
    WORK[kind](store, lambda: None)
    (row,) = runs_on_disk(store, kind)
    assert (row["exit"], row["message"]) == ("ok", "")
    name, value = ASKED[kind]
    assert json.loads(row["parameters"])[name] == value
    assert json.loads(row["versions"]).keys() >= {"python", "fstore"}
    assert row["seconds"] > 0 or kind == "schedule"  # by its own clock, which stands still here
    assert row["started_at"] <= row["finished_at"]


@pytest.mark.parametrize(
    ("error", "ended"), [(DataError("no luck"), "failed"), (KeyboardInterrupt(), "interrupted")]
)
@pytest.mark.parametrize("kind", WORK)
def test_what_did_not(store: Store, kind: str, error: BaseException, ended: str) -> None:
    """A run that fails or is interrupted half way is on record, with its message."""

    def stop() -> None:
        raise error

    with pytest.raises(type(error)):
        WORK[kind](store, stop)
    (row,) = runs_on_disk(store, kind)
    assert row["exit"] == ended
    assert ("no luck" in row["message"]) == (ended == "failed")
    WORK[kind](store, lambda: None)
    assert [row["exit"] for row in runs_on_disk(store, kind)] == [ended, "ok"]


@pytest.mark.parametrize("kind", ["proposals", "pretrain", "finetune", "detector", "refresh"])
def test_nothing_to_do_is_no_run(store: Store, kind: str) -> None:
    """What is there already is not made again, and leaves no row."""
    WORK[kind](store, lambda: None)
    before = runs_on_disk(store, kind)
    if kind == "refresh":
        REPORTS._entries["slow"] = slow_entry(lambda: None)
    try:
        if kind == "refresh":
            assert [done.state for done in brought(store, slow_study(), ["slow"])] == ["fresh"]
        else:
            WORK[kind](store, lambda: None)
    finally:
        REPORTS._entries.pop("slow", None)
    assert runs_on_disk(store, kind) == before


def test_a_look_is_no_run(store: Store) -> None:
    """Looking at reports computes nothing and writes nothing."""
    REPORTS._entries["slow"] = slow_entry(lambda: None)
    try:
        (seen,) = brought(store, slow_study(), ["slow"], compute=False)
    finally:
        del REPORTS._entries["slow"]
    assert (seen.state, seen.computed) == ("stale", 0)
    assert runs_on_disk(store, "refresh") == []
    assert store.rows("reports").num_rows == 0


def test_a_refresh_tells_its_reports(store: Store) -> None:
    """Its row counts cells, and says what became of each report; so does the history's."""
    refreshing(store, lambda: None)
    (row,) = runs_on_disk(store, "refresh")
    told = json.loads(row["parameters"])
    assert (told["computed"], told["reused"], told["failed"]) == (8, 0, 0)
    assert told["states"]["slow"] == {"state": "computed", "computed": 8, "reused": 0, "error": ""}
    (noted,) = store.rows("refreshes").to_pylist()
    assert noted["refresh_id"] == row["run_id"]
    (listed,) = past_runs(store, "refresh")
    assert (listed["study"], listed["computed"], listed["status"]) == ("small", 8, "ok")


def test_a_training_tells_its_checkpoints(store: Store) -> None:
    """A run that is interrupted after its first snapshot says that this one is registered."""
    steps: list[object] = []

    def second() -> None:
        steps.append(None)
        if len(steps) == 2:
            raise KeyboardInterrupt

    options = training.TrainingOptions(device="cpu", workers=1, on_step=lambda _: second())
    asked = {"network": "caffenet-mini", "dataset": "shapes", "snapshots": [1, 3]}
    with pytest.raises(KeyboardInterrupt):
        training.pretrain(store, options=options, **{**SMALL, **asked, "iterations": 3})
    (row,) = runs_on_disk(store, "pretrain")
    told = json.loads(row["parameters"])
    assert (told["checkpoints"], told["registered"]) == (["1", "3"], ["1"])
    assert (row["device"], told["dataset"]) == ("cpu", "shapes")


def test_how_proposals_were_found_outlives_the_log(store: Store) -> None:
    """Without any run on record it is known how proposals were found, and they are not redone."""
    searching(store, lambda: None)
    kept = json.loads(
        next(
            row["proposals"]
            for row in DeltaTable(str(store.path / "datasets")).to_pyarrow_table().to_pylist()
            if row["name"] == "pictures"
        )
    )
    assert kept["identity"]["method"] == "components"
    (row,) = runs_on_disk(store, "proposals")
    assert kept["identity"] == json.loads(row["parameters"])["identity"]
    replace_rows(store.place, "runs", [], kind="proposals")
    assert runs_on_disk(store, "proposals") == []
    assert searched_how(store, "pictures") == Search("components", 5)

    def searched() -> None:
        raise AssertionError

    searching(store, searched)
    assert runs_on_disk(store, "proposals") == []
