"""Reports computed on a cluster of Ray: the cells of this process, whatever becomes of nodes."""

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from _build import put
from _cells import Cells, numbers
from _cli import run
from _kill import run_with_kills
from _studies import STUDY, StudyWorld, make_study
from fstore.cli import app
from fstore.errors import DataError
from fstore.queries.refresh.driver import Brought, brought
from fstore.queries.refresh.elsewhere import Elsewhere
from fstore.queries.refresh.standing import State
from fstore.queries.studies.study import set_study
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.maintenance import Selection, drop
from fstore.workflows.cells_on_ray import ray_executor

pytestmark = pytest.mark.slow

NAMES = ("figure1", "retrieval", "table3", "table5", "table6", "table7")
"""Reports of the small store: 19 needs, of which the two of table6 are one task."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Start two nodes of one CPU each, and connect; a test that kills one adds another."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # else others' tests hold up the workers
    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    nodes.add_node(num_cpus=1)
    nodes.wait_for_nodes()
    ray.init(address=nodes.address, logging_level="ERROR", log_to_driver=False)
    yield nodes
    ray.shutdown()
    nodes.shutdown()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Make a store that has what most reports need, which no test changes."""
    return make_study(tmp_path_factory.mktemp("made") / "s")


@pytest.fixture(scope="module")
def expected(made: StudyWorld, tmp_path_factory: pytest.TempPathFactory) -> Cells:
    """Return the cells that this process computes."""
    here = copy_of(made, tmp_path_factory.mktemp("here") / "s")
    assert {d.state for d in brought(here.store, here.study, NAMES)} == {State.COMPUTED}
    return numbers(here.store)


@pytest.fixture
def world(made: StudyWorld, tmp_path: Path) -> StudyWorld:
    """Return a copy of the store."""
    return copy_of(made, tmp_path / "s")


def copy_of(world: StudyWorld, path: Path) -> StudyWorld:
    """Copy a store and what is known of it."""
    shutil.copytree(world.store.path, path)
    return replace(world, store=Store.open(path))


def refresh(world: StudyWorld, **given: Any) -> tuple[list[Brought], Elsewhere]:  # noqa: ANN401
    """Refresh reports on the cluster that is connected."""
    elsewhere = Elsewhere(ray_executor)
    done = brought(world.store, world.study, NAMES, elsewhere=elsewhere, **given)
    return list(done), elsewhere


@pytest.mark.usefixtures("cluster")
def test_two_nodes_give_the_same_cells(world: StudyWorld, expected: Cells) -> None:
    """Two workers give what this process gives, bit for bit, and both take part."""
    done, elsewhere = refresh(world)
    assert {d.state for d in done} == {State.COMPUTED}
    assert numbers(world.store) == expected
    assert len(elsewhere.work) == 2
    assert sum(w.needs for w in elsewhere.work.values()) == sum(d.computed for d in done)
    again, nobody = refresh(world)
    assert ({d.state for d in again}, nobody.work) == ({State.FRESH}, {})


def test_a_node_killed_in_mid_refresh(cluster: Any, world: StudyWorld, expected: Cells) -> None:  # noqa: ANN401
    """What a lost node was computing is computed by another: the same cells, each once."""
    other = cluster.worker_nodes
    before: list[str] = []

    def kill(_what: str, _done: int, _total: int, note: str) -> None:
        before.append(note.rsplit(", ", 1)[1])
        if len(set(before)) == 2 and len(other) == 1:  # both are at work
            cluster.remove_node(next(iter(other)), allow_graceful=False)

    try:
        done, _ = refresh(world, on_progress=kill)
    finally:
        cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()
    assert len(set(before)) >= 2
    assert {d.state for d in done} == {State.COMPUTED}
    assert numbers(world.store) == expected


@pytest.mark.usefixtures("cluster")
def test_a_cell_that_fails_on_a_worker(world: StudyWorld, expected: Cells) -> None:
    """Its report fails with the error as it is here; all other cells are there, of it too."""
    x = world.values["d", "15k", "conv5"].copy()
    x[5, 2, 1] = np.nan
    drop(world.store.place, Selection(ckpt="15k", dataset="d", layer="conv5"))
    put(world.store, Partition("net", "15k", "d", "image", "conv5"), x, identity={"weights": "n"})
    done, _ = refresh(world)
    failed = {d.report: d for d in done if d.state is State.FAILED}
    assert set(failed) == {"table3"}
    assert isinstance(failed["table3"].raised, DataError)
    assert "NaN or infinite, the first of them sample 5, channel 2" in failed["table3"].error
    lacking = {key for key in expected if key[:2] == ("table3", "conv5") and "15k" in key[2]}
    assert lacking
    assert numbers(world.store) == {k: v for k, v in expected.items() if k not in lacking}


KILLED = """
import sys
import time
import ray
from _studies import STUDY
from fstore.queries.refresh import compute
from fstore.queries.refresh.driver import brought
from fstore.queries.refresh.elsewhere import Elsewhere
from fstore.queries.studies.study import parse_study
from fstore.store import Store
from fstore.workflows.cells_on_ray import ray_executor
compute.COMMIT_SECONDS = 0
ray.init(address=sys.argv[2], logging_level="ERROR", log_to_driver=False)
store, count = Store.open(sys.argv[1]), iter(range(1, 1000))


def tell(*_):
    # slowly enough to be killed in between
    print(next(count), flush=True)
    time.sleep(0.1)


names = sys.argv[3].split(",")
for done in brought(
    store, parse_study(STUDY), names, elsewhere=Elsewhere(ray_executor), on_progress=tell
):
    assert done.state in ("computed", "fresh"), done.error
"""


def test_a_killed_driver_goes_on(
    cluster: Any,  # noqa: ANN401
    world: StudyWorld,
    expected: Cells,
    seed: int,
) -> None:
    """A refresh that is killed and run again computes what is left, and stores nothing twice."""
    names = ",".join(NAMES)
    run_with_kills(KILLED, world.store.path, cluster.address, names, kills=1, longest=6, seed=seed)
    assert numbers(world.store) == expected


def test_refresh_and_schedule(cluster: Any, world: StudyWorld, expected: Cells) -> None:  # noqa: ANN401
    """The commands give the same cells, and a line a worker on stderr; with --quiet none."""
    set_study(world.store, STUDY)
    ray = ("--engine", "ray", "--address", cluster.address)
    done = run(world.store, "report", "refresh", *NAMES[:3], *ray, "--json")
    assert done.exit_code == 0, done.output
    assert {row["state"] for row in json.loads(done.stdout)} == {"computed"}
    lines = [line for line in done.stderr.splitlines() if line.startswith("worker ")]
    assert sum(int(line.split(": ")[1].split()[0]) for line in lines) == 9
    reports = [word for name in NAMES[3:] for word in ("--report", name)]
    scheduled = run(world.store, "schedule", "--once", *reports, *ray)
    assert scheduled.exit_code == 0, scheduled.output
    assert "  worker " in scheduled.stderr
    assert numbers(world.store) == expected
    again = run(world.store, "report", "refresh", *NAMES, *ray, "--csv")
    assert (again.exit_code, again.stderr) == (0, "")


REPRODUCED = """
name = "small"
network = "caffenet-mini"
layers = ["fc6", "fc7"]
top_layer = "fc7"
pretrained = "1"
[classification]
dataset = "places"
split = "random"
seeds = [0]
[[make.datasets]]
name = "shapes"
format = "imagefolder"
root = "shapes"
[[make.datasets]]
name = "places"
format = "imagefolder"
root = "places"
[make.pretrain]
dataset = "shapes"
iterations = 1
snapshots = [1]
batch_size = 4
"""


def write_images(folder: Path, n: int) -> None:
    """Write images of noise, n of either class."""
    rng = np.random.default_rng(n)
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for i in range(n):
            pixels = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")


def test_a_study_reproduced_on_a_cluster(cluster: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """From nothing to reports: activations and cells are those of this process, bit for bit."""
    (tmp_path / "study.toml").write_text(REPRODUCED)
    for folder, n in (("shapes/train", 6), ("shapes/val", 2), ("places", 10)):
        write_images(tmp_path / folder, n)
    file, data = str(tmp_path / "study.toml"), str(tmp_path)
    words = ("reproduce", file, "--data", data, "--no-page", "--json")
    stores, states = {}, {}
    for name, more in (("here", ()), ("ray", ("--engine", "ray", "--address", cluster.address))):
        done = CliRunner().invoke(app, ["--store", str(tmp_path / name), *words, *more])
        assert done.stdout, done.output
        states[name] = [(row["step"], row["state"]) for row in json.loads(done.stdout)]
        stores[name] = Store.open(tmp_path / name)
        assert ("\nworker " in done.stderr) == (name == "ray"), done.stderr
    assert states["ray"] == states["here"]
    assert {row["report"] for row in stores["ray"].rows("reports").to_pylist()} >= {
        "table6",
        "table7",
    }
    assert numbers(stores["ray"]) == numbers(stores["here"])


def test_an_analysis_swept_on_a_cluster(cluster: Any, world: StudyWorld) -> None:  # noqa: ANN401
    """``analyze accuracy`` of several ablations prints on a cluster what it prints here."""
    words = ("analyze", "accuracy", "--dataset", "s", "--ckpt", "15k", "--layer", "conv5")
    several = (word for name in ("none", "binarize", "sp_max") for word in ("--ablation", name))
    here = run(world.store, *words, *(asked := tuple(several)), "--json")
    done = run(
        world.store, *words, *asked, "--engine", "ray", "--address", cluster.address, "--json"
    )
    assert (done.exit_code, done.stdout) == (0, here.stdout), done.stderr
    assert len(json.loads(done.stdout)) == 3
