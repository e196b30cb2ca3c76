"""A checkpoint's preprocessing: its own, its network's, or what its network stated before."""

import json
import shlex
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from _scenes import copy_store
from fstore import workflows
from fstore.cli.app import app
from fstore.errors import DataError, IdentityError
from fstore.extractor.images import whole_image
from fstore.extractor.networks import build_network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training import Step
from fstore.queries.figures.pictures import pictures, pixels
from fstore.store import Store
from fstore.store.files import Partition
from fstore.store.remedies import weights_again
from fstore.types import CheckpointRecord
from fstore.workflows.extract.plan import Chosen, Planner
from fstore.workflows.extract.run import ExtractionOptions, extract
from fstore.workflows.train.finetune import finetune
from fstore.workflows.train.run import TrainingOptions

MINI = build_network("caffenet-mini").preprocess
ANTIALIASED = "4cab9f4e085c04a8aade4e2230af46f7de90fb7fcd3b6b58ffe131a7d830ee4e"
"""Hash of squeezenet-v1.0's preprocessing when whole images were always antialiased."""

NET = """
from torch import nn
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
def net(classes=3):
    pooled = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    model = nn.Sequential(*pooled, nn.Linear(4, 4), nn.Linear(4, classes))
    return Network("own", model, Preprocess(16, 16, {}), {{"l": "1"}}, {{"lr": 0.1}}, formerly={})
"""
OWN = "fstore_own:net"
SMOOTHED = "[Preprocess(16, 16, antialias=True)]"
SCRATCH: dict[str, Any] = {
    "dataset": "rooms", "mode": "scratch", "network": OWN, "split": "random", "iterations": 2,
    "snapshots": [1], "batch_size": 2, "name": "s",
}  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store of a few images that tests do not change: one class each, or boxes."""
    store = Store.create(tmp_path_factory.mktemp("made") / "store")
    workflows.add_dataset(store, "scenes", "digit-scenes", images=60)
    noise = np.random.default_rng(1).integers(0, 256, (12, 30, 40, 3), dtype=np.uint8)
    rooms = store.path.parent / "rooms"
    for i, image in enumerate(noise):
        path = rooms / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(path)
    workflows.add_dataset(store, "rooms", "imagefolder", root=rooms, seeds=[0])
    return store


@pytest.fixture
def mine(made: Store, tmp_path: Path) -> Store:
    """Return a store that the test may change."""
    return copy_store(made, tmp_path / "mine")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Return a file of weights of caffenet-mini."""
    torch.manual_seed(0)
    path = tmp_path / "w.pt"
    torch.save(build_network("caffenet-mini").model.state_dict(), path)
    return path


def write_net(
    folder: Path, monkeypatch: pytest.MonkeyPatch, words: str, formerly: str = "()"
) -> None:
    """Write the user's own network, in place of what it was."""
    (folder / "fstore_own.py").write_text(NET.format(words, formerly))
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.delitem(sys.modules, "fstore_own", raising=False)


@pytest.mark.parametrize(
    "own",
    [
        {"interpolation": "bicubic"},
        {"antialias": False, "order": "RGB", "mean": [1, 2, 3]},
        Preprocess(64, 70, "shorter", "RGB", 0.5, (1, 2, 3), crop="down", exif="apply", context=4),
        MINI,
    ],
    ids=["a field", "fields", "whole", "the network's"],
)
def test_a_checkpoint_has_its_own(
    mine: Store, weights: Path, own: Mapping[str, object] | Preprocess
) -> None:
    """What was given is recorded, hashed, and what the checkpoint is loaded with."""
    record = workflows.import_checkpoint(
        mine, weights, network="caffenet-mini", name="own", preprocess=own
    )
    wanted = own if isinstance(own, Preprocess) else MINI.with_options(own)
    loaded = workflows.load_network(mine, record)
    assert loaded.preprocess == wanted
    assert loaded.preprocess.hash == record.preprocessing_hash
    assert json.loads(record.preprocessing)["mean"] == list(wanted.mean)
    plain = workflows.import_checkpoint(mine, weights, network="caffenet-mini", name="plain")
    assert "preprocess" not in json.loads(plain.recipe)
    assert (plain.preprocessing_hash == record.preprocessing_hash) == (wanted == MINI)
    assert workflows.check_weights(mine, record) == []


def test_nothing_of_its_own_is_nothing(mine: Store, weights: Path) -> None:
    """An empty mapping is as if it was not given: the same record."""
    first, second = (
        workflows.import_checkpoint(mine, weights, network="caffenet-mini", name=name, preprocess=p)
        for name, p in (("a", None), ("b", {}))
    )
    assert replace(first, name="", uri="") == replace(second, name="", uri="")


def test_a_mean_image_is_kept_with_its_own_size(mine: Store, weights: Path, tmp_path: Path) -> None:
    """The image must be as large as the checkpoint's own ``resize``, and comes back with it."""
    image = np.random.default_rng(0).random((3, 70, 70)).astype(np.float32)
    np.save(tmp_path / "70.npy", image)
    np.save(tmp_path / "64.npy", image[:, :64, :64])

    def imported(size: int, name: str, **own: object) -> CheckpointRecord:
        mean = tmp_path / f"{size}.npy"
        return workflows.import_checkpoint(
            mine, weights, network="caffenet-mini", name=name, mean=mean, preprocess=own
        )

    loaded = workflows.load_network(mine, imported(70, "m", resize=70))
    assert loaded.preprocess.mean_image is not None
    assert np.array_equal(loaded.preprocess.mean_image, image)
    with pytest.raises(
        DataError, match=r"is \(3, 64, 64\) float32; expected numbers, \(3, 70, 70\)"
    ):
        imported(64, "n", resize=70)
    with pytest.raises(DataError, match="states a mean, and --mean gives a mean image"):
        imported(64, "n", mean=(1, 2, 3))


def test_weights_with_a_mean_image_and_a_mean_are_refused(mine: Store, tmp_path: Path) -> None:
    """A file of this program may hold a mean image; a whole preprocessing stands in its place."""
    state = build_network("caffenet-mini").model.state_dict()
    state["fstore.mean_image"] = torch.ones(3, 64, 64)
    torch.save(state, tmp_path / "w.pt")

    def imported(name: str, own: Mapping[str, object] | Preprocess) -> Preprocess:
        record = workflows.import_checkpoint(
            mine, tmp_path / "w.pt", network="caffenet-mini", name=name, preprocess=own
        )
        return workflows.load_network(mine, record).preprocess

    with pytest.raises(DataError, match="the file of weights gives a mean image"):
        imported("a", {"mean": (1, 2, 3)})
    assert imported("b", {"interpolation": "bicubic"}).mean_image is not None
    assert imported("c", MINI).mean_image is None
    image = np.full((3, 64, 64), 5, np.float32)
    with_image = imported("d", replace(MINI, mean_image=image))
    assert np.array_equal(np.asarray(with_image.mean_image), image)


def test_the_same_weights_with_another_preprocessing_need_another_name(
    mine: Store, weights: Path
) -> None:
    """Preprocessing is part of what a name stands for."""
    again: dict[str, Any] = {"network": "caffenet-mini", "name": "a"}
    for _ in range(2):
        workflows.import_checkpoint(mine, weights, **again, preprocess={"antialias": False})
    for own in (None, {"interpolation": "bicubic"}):
        with pytest.raises(IdentityError, match="other preprocessing; use another --name"):
            workflows.import_checkpoint(mine, weights, **again, preprocess=own)


@pytest.mark.parametrize("own", [{}, {"interpolation": "bicubic"}])
def test_an_edited_function_is_refused(
    mine: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, object]
) -> None:
    """Fields that the checkpoint was not given itself must be those of its network, as before."""
    write_net(tmp_path, monkeypatch, "scale=1.0")
    record = workflows.init_checkpoint(mine, network=OWN, name="r", preprocess=own)
    write_net(tmp_path, monkeypatch, "scale=2.0")
    with pytest.raises(IdentityError, match=r"scale was 1.0, is 2.0; undo the change"):
        workflows.load_network(mine, record)


def test_an_edited_function_may_say_what_it_stated(
    mine: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its earlier statement under ``formerly``, old checkpoints load as they were made."""
    write_net(tmp_path, monkeypatch, "scale=1.0")
    old = workflows.init_checkpoint(mine, network=OWN, name="old")
    odd = workflows.init_checkpoint(mine, network=OWN, name="odd", preprocess={"exif": "apply"})
    write_net(tmp_path, monkeypatch, "scale=2.0", "[Preprocess(16, 16, scale=1.0)]")
    new = workflows.init_checkpoint(mine, network=OWN, name="new")
    loaded = [workflows.load_network(mine, r).preprocess for r in (old, odd, new)]
    assert [(p.scale, p.exif) for p in loaded] == [(1, "ignore"), (1, "apply"), (2, "ignore")]
    write_net(tmp_path, monkeypatch, "scale=2.0", "[Preprocess(16, 16, scale=3.0)]")
    with pytest.raises(IdentityError, match=r"scale was 1.0, is 2.0"):
        workflows.load_network(mine, old)
    write_net(tmp_path, monkeypatch, "scale=2.0", "[3]")
    with pytest.raises(DataError, match=r"formerly=\[3\]; expected Preprocesses"):
        workflows.load_network(mine, old)


def old_squeezenet(store: Store) -> CheckpointRecord:
    """Register a checkpoint as the program did when whole images were always antialiased."""
    built = workflows.seeded_network("squeezenet-v1.0", 4, 3)
    built = replace(built, preprocess=built.formerly[0])
    recipe = json.dumps({"kind": "init", "seed": 3})
    record = CheckpointRecord("squeezenet-v1.0", "old", iteration=0, seed=3, recipe=recipe)
    return workflows.write_checkpoint(store, record, built.model.state_dict(), network=built)


def test_old_checkpoints_are_extracted_as_they_were(mine: Store) -> None:
    """Their identity is that of the program before, their images are antialiased, new ones' not."""
    record = old_squeezenet(mine)
    assert record.preprocessing_hash == ANTIALIASED
    new = workflows.init_checkpoint(mine, network="squeezenet-v1.0", name="new", seed=3, classes=4)
    assert new.sha256 == record.sha256
    chosen = Chosen(["fire9"], ["old", "new"], ["rooms"])
    old_job, new_job = Planner(mine, chosen, ExtractionOptions()).jobs()
    (old_parts,), (new_parts,) = (
        [identity.parts for identity in job.identities.values()] for job in (old_job, new_job)
    )
    assert old_parts["preprocessing"] == ANTIALIASED
    differ = {part for part in old_parts if old_parts[part] != new_parts[part]}
    assert differ == {"preprocessing"}
    loaded = [workflows.load_network(mine, r).preprocess for r in (record, new)]
    assert [p.antialias for p in loaded] == [True, False]


def test_old_names_keep_what_they_stand_for(
    mine: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Registered again with no word of preprocessing, an old checkpoint is the one it was."""
    write_net(tmp_path, monkeypatch, "antialias=True")
    old = workflows.init_checkpoint(mine, network=OWN, name="old")
    write_net(tmp_path, monkeypatch, "antialias=False", SMOOTHED)
    assert workflows.init_checkpoint(mine, network=OWN, name="old") == old
    torch.save(workflows.seeded_network(OWN, None, 0).model.state_dict(), tmp_path / "o.pt")
    again = workflows.import_checkpoint(mine, tmp_path / "o.pt", network=OWN, name="old")
    assert again == old
    with pytest.raises(IdentityError, match="other preprocessing"):
        workflows.init_checkpoint(mine, network=OWN, name="old", preprocess={"antialias": False})


@pytest.mark.parametrize("own", [{"interpolation": "bicubic"}, None])
def test_a_child_has_its_parents(
    mine: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, object] | None
) -> None:
    """Fine-tuned from a checkpoint of its own preprocessing, or an old one, a child has that."""
    write_net(tmp_path, monkeypatch, "antialias=True")
    parent = workflows.init_checkpoint(mine, network=OWN, name="parent", preprocess=own)
    write_net(tmp_path, monkeypatch, "antialias=False", SMOOTHED)
    (child,) = finetune(
        mine, dataset="rooms", mode="ft", parent="parent", split="random", iterations=1,
        batch_size=2,
    )  # fmt: skip
    assert child.preprocessing_hash == parent.preprocessing_hash
    assert workflows.load_network(mine, child).preprocess.hash == parent.preprocessing_hash
    assert json.loads(child.recipe).get("preprocess") == own


def test_a_run_of_training_goes_on_as_it_began(
    mine: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Interrupted and resumed, a run prepares images as it began, whatever is stated by now."""

    def interrupt(step: Step) -> None:
        if step.iteration == 2:
            raise KeyboardInterrupt

    write_net(tmp_path, monkeypatch, "antialias=True")
    with pytest.raises(KeyboardInterrupt):
        finetune(mine, **SCRATCH, options=TrainingOptions(on_step=interrupt, save_every=1))
    (begun,) = mine.checkpoints(OWN)
    write_net(tmp_path, monkeypatch, "antialias=False", SMOOTHED)
    first, last = finetune(mine, **SCRATCH)
    assert first == begun
    assert last.preprocessing == begun.preprocessing
    for record in finetune(mine, **{**SCRATCH, "name": "new"}):
        assert json.loads(record.preprocessing)["antialias"] is False


@pytest.mark.parametrize(
    "own", [{"antialias": False}, {"exif": "apply", "interpolation": "bicubic"}]
)
def test_pictures_are_what_the_network_saw(
    mine: Store, tmp_path: Path, own: dict[str, object]
) -> None:
    """The picture of a sample is resized and turned as its checkpoint's input."""
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = np.random.default_rng(0).integers(0, 256, (90, 130, 3), dtype=np.uint8)
    (tmp_path / "i/a").mkdir(parents=True)
    Image.fromarray(noise).save(tmp_path / "i/a/a.png", exif=exif)
    workflows.add_dataset(mine, "one", "imagefolder", root=tmp_path / "i")
    workflows.init_checkpoint(mine, network="caffenet-mini", name="own", preprocess=own)
    (drawn,) = pictures(mine, Partition("caffenet-mini", "own", "one", "image", "conv5"), [0])
    p = MINI.with_options(own)
    with Image.open(tmp_path / "i/a/a.png") as image:
        x = whole_image(image.copy(), p)
    seen = (x * 64 + np.reshape(p.mean, (3, 1, 1)))[::-1].transpose(1, 2, 0)
    assert np.abs(pixels(drawn) - seen).max() < 1e-3  # float32 of 0 to 255, divided and back
    plain = replace(drawn, preparation=replace(drawn.preparation, antialias=True, exif="ignore"))  # type: ignore[type-var]
    assert np.abs(pixels(plain).astype(int) - pixels(drawn)).max() > 20


def test_boxes_are_refused_before_an_image_is_read(mine: Store) -> None:
    """A data set with boxes is extracted as whole images, or not by such a checkpoint."""
    workflows.init_checkpoint(
        mine, network="caffenet-mini", name="up", preprocess={"exif": "apply"}
    )
    asked: dict[str, Any] = {"layers": ["conv5"], "ckpts": ["up"], "datasets": ["scenes"]}
    for views in ([], ["gt"]):
        with pytest.raises(DataError, match="choose whole images alone"):
            extract(mine, **asked, views=views)
    assert mine.files() == []
    extract(mine, **asked, views=["image"])
    assert {file.partition.view for file in mine.files()} == {"image"}


def test_the_command_states_fields(mine: Store, weights: Path) -> None:
    """``--preprocess`` is repeatable, and the way to get lost weights again repeats it."""

    def fstore(*words: str) -> str:
        result = CliRunner().invoke(app, ["--store", str(mine.path), *words])
        assert result.exit_code == 0, result.output
        return result.output

    own = ["--preprocess", "interpolation=bicubic,antialias=no", "--preprocess", "mean=1,2,3"]
    words = ["--network", "caffenet-mini", "--name", "x", *own]
    fstore("ckpt", "import", str(weights), *words)
    fstore("ckpt", "init", *words[:2], "--name", "y", *own)
    records = [mine.find_checkpoint(name) for name in "xy"]
    assert records[0].preprocessing_hash == records[1].preprocessing_hash
    for record in records:
        p = json.loads(record.preprocessing)
        assert (p["interpolation"], p["antialias"], p["mean"]) == ("bicubic", False, [1, 2, 3])
        line = weights_again(mine.path, record).split(": ", 1)[1]
        again = [str(weights) if w == weights.name else w for w in shlex.split(line)[1:]]
        fstore(*again)  # refused if it were another preprocessing
    refused = CliRunner().invoke(
        app, ["--store", str(mine.path), "ckpt", "init", *words[:4], "--preprocess", "interp=1"]
    )
    assert refused.exit_code == 1
    assert "no 'interp' in a preprocessing; there are: size, resize" in refused.stderr
