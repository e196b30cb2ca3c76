"""Fine-tuning into a store: what is learned from, what is registered, killed and resumed."""

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from _kill import run_code, run_with_kills
from _scenes import PARENT, Thing, add_boxes, copy_store, make_scenes
from fstore.errors import DataError, IdentityError, UnknownNameError
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training import Step
from fstore.extractor.training.drawn_regions import DrawnBoxes
from fstore.extractor.training.region_examples import FixedRegions, RegionExamples
from fstore.extractor.training.regions import StoredBoxes
from fstore.extractor.weights import read_tensors
from fstore.store import Store
from fstore.workflows import add_dataset, load_network
from fstore.workflows.train.data import BACKGROUND, Learning, outputs, training_data
from fstore.workflows.train.finetune import finetune
from fstore.workflows.train.regions import RegionTables, held_out_regions, region_examples
from fstore.workflows.train.run import Plan, TrainingOptions

SHORT: dict[str, Any] = {"iterations": 2, "batch_size": 4}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store that tests do not change."""
    return make_scenes(tmp_path_factory.mktemp("scenes") / "store")


@pytest.fixture
def mine(scenes: Store, tmp_path: Path) -> Store:
    """Return a store that the test may change."""
    return copy_store(scenes, tmp_path / "mine")


@pytest.fixture
def plan_of(scenes: Store, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Plan]:
    """Return what gives the plan of a run that is not carried out."""
    monkeypatch.setattr(
        "fstore.workflows.train.finetune.train_into", lambda _store, plan, _options: plan
    )
    return cast("Callable[..., Plan]", partial(finetune, scenes))


def test_regions_become_a_checkpoint(mine: Store) -> None:
    """Fine-tuned on regions, a checkpoint has 10 classes and background, a parent, curves."""
    first, last = finetune(mine, dataset="scenes", mode="ft", parent=PARENT, view="gt",
                           snapshots=[1], **SHORT)  # fmt: skip
    assert (first.name, last.name) == (f"{PARENT}-scenes-ft-1", f"{PARENT}-scenes-ft")
    assert (last.network, last.parent, last.iteration) == ("caffenet-mini", PARENT, 2)
    assert last.lr == pytest.approx(0.01)
    recipe = json.loads(last.recipe)
    assert recipe["classes"] == [*map(str, range(10)), BACKGROUND]
    expected = {"kind": "finetune", "mode": "ft", "dataset": "scenes", "view": "gt", "seed": 0,
                "split": "official", "parent": PARENT, "iterations": 2}  # fmt: skip
    assert expected.items() <= recipe.items()
    assert [point[0] for point in recipe["curve"]] == [1, 2]
    assert [point[0] for point in recipe["validation"]] == [1, 2]
    assert load_network(mine, last).model.state_dict()["fc8.weight"].shape == (11, 256)


def test_fc_ft_keeps_the_parents_convolutions(mine: Store) -> None:
    """The file of a checkpoint of mode fc-ft has the parent's convolutions, bit for bit."""
    (record,) = finetune(mine, dataset="rooms", mode="fc-ft", parent=PARENT, split="random",
                         **SHORT)  # fmt: skip
    before, after = (
        read_tensors(mine.checkpoint_path(r)) for r in (mine.find_checkpoint(PARENT), record)
    )
    for name, tensor in before.items():
        if not name.startswith("fc8"):
            assert torch.equal(after[name], tensor) == name.startswith("conv"), name
    assert after["fc8.weight"].shape == (2, 256)
    assert json.loads(record.recipe)["classes"] == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"mode": "ft", "parent": PARENT}, [f"{PARENT}-rooms-ft"]),
        ({"mode": "fc-ft", "parent": f"caffenet-mini/{PARENT}"}, [f"{PARENT}-rooms-fc-ft"]),
        ({"mode": "scratch", "network": "caffenet-mini"}, ["rooms-scratch"]),
        ({"mode": "ft", "parent": PARENT, "seed": 2}, [f"{PARENT}-rooms-ft-s2"]),
        (
            {"mode": "scratch", "network": "caffenet-mini", "seed": 1, "snapshots": [1000, 250]},
            ["rooms-scratch-s1-250", "rooms-scratch-s1-1k", "rooms-scratch-s1"],
        ),
        ({"mode": "ft", "parent": PARENT, "name": "mine", "snapshots": [2000]}, ["mine"]),
    ],
)
def test_names(plan_of: Callable[..., Plan], given: dict[str, Any], names: list[str]) -> None:
    """Checkpoints are named by parent, data set, mode and seed; snapshots by their iteration."""
    plan = plan_of(dataset="rooms", split="random", iterations=2000, **given)
    assert [plan.names[i] for i in sorted(plan.names)] == names
    assert max(plan.names) == 2000


def test_a_finished_run_is_not_repeated(mine: Store) -> None:
    """The same call again trains nothing and gives the same records; another is refused."""
    given: dict[str, Any] = {"dataset": "rooms", "mode": "ft", "parent": PARENT,
                             "split": "random", **SHORT}  # fmt: skip
    steps: list[Step] = []
    options = TrainingOptions(on_step=steps.append)
    done = finetune(mine, **given, options=options)
    assert [s.iteration for s in steps] == [1, 2]
    assert finetune(mine, **given, options=options) == done
    assert len(steps) == 2
    for change, word in (({"iterations": 3}, "iterations"), ({"split_seed": 1}, "split_seed")):
        with pytest.raises(IdentityError, match=f"was made with other .*{word}"):
            finetune(mine, **given | change)


def test_scratch_starts_from_the_seeds_weights(plan_of: Callable[..., Plan]) -> None:
    """From scratch there is no parent; another seed starts from other weights."""
    plans = [
        plan_of(
            dataset="scenes", mode="scratch", network="caffenet-mini", view="gt", seed=seed, **SHORT
        )
        for seed in (0, 1, 0)
    ]
    assert {plan.parent for plan in plans} == {None}
    first, other, again = (plan.network.model.state_dict() for plan in plans)
    assert first["fc8.weight"].shape == (11, 256)
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["conv1.weight"], other["conv1.weight"])


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"mode": "all", "parent": PARENT}, DataError, "no mode 'all'.*ft, fc-ft, scratch"),
        ({"parent": "none"}, UnknownNameError, f"no checkpoint 'none'; .*{PARENT}"),
        (
            {"parent": "squeezed", "network": "caffenet-mini"},
            UnknownNameError,
            "no checkpoint 'squeezed' of network 'caffenet-mini'",
        ),
        ({"parent": PARENT, "dataset": "none"}, UnknownNameError, "no data set 'none'"),
        (
            {"parent": PARENT, "view": "gt"},
            UnknownNameError,
            "no view 'gt'; it has no boxes; it has: image",
        ),
        ({"parent": PARENT, "view": "crop"}, UnknownNameError, "no view 'crop'; there are: image"),
        (
            {"parent": PARENT, "view": "proposal", "dataset": "scenes"},
            UnknownNameError,
            "no view 'proposal'.*fstore proposals --dataset scenes.*--view gt",
        ),
        ({"parent": PARENT, "dataset": "alone"}, DataError, "a single class, 'a'.*needs two"),
        ({"parent": PARENT, "dataset": "unlabelled"}, DataError, "has no labels"),
        ({"parent": PARENT, "split": "official"}, UnknownNameError, "it has: random:0:train"),
        (
            {"parent": PARENT, "split_seed": 7},
            UnknownNameError,
            "no part 'random:7:train'; it has",
        ),
        ({}, DataError, "mode ft starts from a checkpoint; name it with --from"),
        ({"mode": "scratch"}, DataError, "scratch needs a network; name it with --network"),
        ({"mode": "scratch", "parent": PARENT}, DataError, "not from 'start'; leave out --from"),
        ({"mode": "fc-ft", "parent": "squeezed"}, DataError, "no fully connected layer below"),
        ({"parent": "squeezed", "iterations": None}, DataError, "give --iterations"),
        ({"parent": PARENT, "rate": 3}, DataError, "a recipe has no 'rate'"),
        ({"mode": "scratch", "network": "lenet"}, UnknownNameError, "no network 'lenet'"),
        ({"parent": PARENT, "seed": -1}, DataError, "a seed counts from 0"),
        ({"parent": PARENT, "name": "a/b"}, DataError, "'a/b' cannot name a checkpoint"),
        ({"parent": PARENT, "snapshots": [9]}, DataError, "must lie within 1 and 2"),
    ],
)
def test_mistakes_are_named(
    scenes: Store, given: dict[str, Any], error: type[Exception], message: str
) -> None:
    """What cannot be done is a named error that says what there is or what to do."""
    usual: dict[str, Any] = {"dataset": "rooms", "split": "random", "mode": "ft", **SHORT}
    if given.get("dataset") == "scenes":
        usual["split"] = "official"
    with pytest.raises(error, match=message):
        finetune(scenes, **usual | given)


BOXES = [
    Thing(0, (1, 1, 40, 40), "cat"),
    Thing(0, (51, 1, 90, 40), "dog", difficult=True),
    Thing(2, (1, 1, 100, 80), "dog"),
    Thing(3, (10, 10, 30, 30), "cat"),
    Thing(3, (40, 10, 60, 30), "dog"),
    Thing(3, (70, 10, 90, 30), "dog"),
]
PROPOSALS = [
    (0, (1.0, 1.0, 40.0, 30.0)),  # 0: cat, 0.75
    (0, (51.0, 1.0, 90.0, 40.0)),  # 1: a difficult dog exactly
    (0, (1.0, 41.0, 20.0, 60.0)),  # 2: nothing
    (1, (5.0, 5.0, 60.0, 60.0)),  # 3: an image without objects
    (2, (1.0, 1.0, 100.0, 40.0)),  # 4: half of a dog: 0.5
    (2, (1.0, 1.0, 100.0, 39.0)),  # 5: a little less
    (3, (10.0, 10.0, 30.0, 30.0)),  # 6: of another part
]
OVERLAPS = [(0, 0, 0.75), (1, 1, 1.0), (4, 2, 0.5), (5, 2, 0.4875), (6, 3, 1.0)]


@pytest.fixture
def boxed(empty: Store) -> Store:
    """Return a store with a data set of four images, boxes and proposals; it has no files."""
    parts: Any = ("train", "train", "train", "test")
    add_boxes(empty, "boxed", parts, BOXES, proposals=PROPOSALS, overlaps=OVERLAPS)
    return empty


def test_stored_proposals_and_their_overlaps(boxed: Store) -> None:
    """Foreground: plain boxes, and proposals with 0.5 or more; background: those with less.

    A proposal that meets a difficult box best is neither; those of other parts do not count.
    """
    tables = RegionTables(boxed, boxed.dataset("boxed"), stored=True)
    examples = region_examples([tables], [np.arange(3)], Preprocess(size=8, resize=8))
    source = examples.source
    assert isinstance(source, StoredBoxes)

    def listed(regions: Any) -> list[tuple[int, tuple[float, ...], int]]:  # noqa: ANN401
        rows = zip(regions.images, regions.boxes, regions.labels, strict=True)
        return [(int(i), tuple(box.tolist()), int(label)) for i, box, label in rows]

    assert listed(source.fore) == [
        (0, BOXES[0].box, 0),
        (2, BOXES[2].box, 1),
        (0, PROPOSALS[0][1], 0),
        (2, PROPOSALS[4][1], 1),
    ]
    assert listed(source.back) == [(i, PROPOSALS[k][1], 2) for i, k in ((0, 2), (1, 3), (2, 5))]
    drawn = examples.draw(np.random.default_rng(0), 128)
    assert (drawn.labels != 2).tolist() == [True] * 32 + [False] * 96


def test_overlap_with_several_boxes(empty: Store) -> None:
    """A proposal that meets two boxes is of the class of the larger overlap, in any order."""
    things = [Thing(0, (1, 1, 10, 10), "cat"), Thing(0, (2, 1, 11, 10), "dog")]
    box = (2.0, 1.0, 11.0, 10.0)
    overlaps = [(0, 1, 1.0), (0, 0, 0.8), (1, 0, 0.8), (1, 1, 1.0)]
    twice = [(0, box), (0, box)]
    add_boxes(empty, "two", ("train", "test"), things, proposals=twice, overlaps=overlaps)
    tables = RegionTables(empty, empty.dataset("two"), stored=True)
    with pytest.raises(DataError, match=r"no stored proposal .* is background.*--view gt"):
        region_examples([tables], [np.arange(1)], Preprocess(size=8, resize=8))
    assert tables.of(np.arange(1)).fore.labels.tolist() == [1, 1]


MORE_BOXES = [Thing(0, (5, 5, 50, 50), "dog"), Thing(1, (10, 10, 60, 60), "cat")]
MORE_PROPOSALS = [(0, (60.0, 60.0, 90.0, 79.0)), (1, (10.0, 10.0, 60.0, 60.0))]


@pytest.fixture
def two(empty: Store) -> Store:
    """Return a store with two data sets of boxes, of which the second has no part test."""
    parts: Any = ("train", "train", "train", "test")
    proposals = [*PROPOSALS, (3, (80.0, 60.0, 90.0, 79.0))]
    add_boxes(empty, "boxed", parts, BOXES, proposals=proposals, overlaps=OVERLAPS)
    add_boxes(empty, "more", ("train", "val"), MORE_BOXES, proposals=MORE_PROPOSALS,
              overlaps=[(1, 1, 1.0)])  # fmt: skip
    return empty


@pytest.mark.parametrize("view", ["gt", "proposal"])
def test_regions_of_two_data_sets_are_drawn_as_those_of_one(two: Store, view: str) -> None:
    """Boxes, proposals and images of both, each image with the boxes that are its own."""
    small = Preprocess(size=8, resize=8)
    together = Learning(("boxed", "more"), view=view, trainval=True)
    data = training_data(two, together, small)
    assert isinstance(data.train, RegionExamples)
    assert isinstance(data.held_out, FixedRegions)
    images = data.train.images
    assert [m.uri for m in images] == ["0.png", "1.png", "2.png", "0.png", "1.png"]
    assert [m.boxes.tolist() for m in images[3:]] == [[[5, 5, 50, 50]], [[10, 10, 60, 60]]]
    assert [m.labels.tolist() for m in images] == [[0, 1], [], [1], [1], [0]]
    source = data.train.source
    if view == "gt":
        assert isinstance(source, DrawnBoxes)
        drawn = source.foreground(np.random.default_rng(0), 100)
        assert set(drawn.images.tolist()) == {0, 2, 3, 4}  # each with a plain box
    else:
        assert isinstance(source, StoredBoxes)
        plain, found = [0, 2, 3, 4], [0, 2, 4]
        assert source.fore.images.tolist() == plain + found
        assert source.fore.labels.tolist() == [0, 1, 1, 0, 0, 1, 0]
        assert source.fore.boxes[-1].tolist() == [10, 10, 60, 60]
        assert source.back.images.tolist() == [0, 1, 2, 3]
    # the only part test is of the first: three boxes and half as many of background, rounded up
    assert {m.uri for m in data.held_out.images} == {"3.png"}
    assert data.held_out.labels.tolist() == [0, 1, 1, 2, 2]


def test_whole_images_of_two_data_sets(two: Store) -> None:
    """Labels of both, one after the other; what is measured is what either holds out."""
    small = Preprocess(size=8, resize=8)
    data = training_data(two, Learning(("boxed", "more")), small)
    assert data.train.labels.tolist() == [[1, 0], [-1, -1], [-1, 1], [-1, 1]]
    assert data.held_out.labels.tolist() == [[1, 1], [1, -1]]  # test of one, val of the other
    alone = training_data(two, Learning(("boxed",)), small)
    assert data.identity.startswith(alone.identity.split(" official")[0])
    assert data.identity != alone.identity


@pytest.mark.parametrize(("given", "told"), [([], "none"), (["rooms", "rooms"], "rooms")])
def test_each_data_set_is_given_once(scenes: Store, given: list[str], told: str) -> None:
    """No data set, and one twice, are refused."""
    with pytest.raises(DataError, match=f"one data set or more, each once; not: {told}"):
        finetune(scenes, dataset=given, mode="ft", parent=PARENT)


def test_data_sets_that_cannot_be_learned_from_together(scenes: Store, two: Store) -> None:
    """Other classes, other tasks, and no part to measure on are named."""
    small = Preprocess(size=8, resize=8)
    with pytest.raises(DataError, match="'scenes' and 'rooms' cannot be used as one: only one"):
        outputs(scenes, Learning(("scenes", "rooms")))
    add_boxes(two, "rest", ("train", "train"), MORE_BOXES)
    with pytest.raises(DataError, match="none of the data sets more, rest has a part to measure"):
        training_data(two, Learning(("more", "rest"), view="gt", trainval=True), small)


def test_images_measured_in_one_data_set_are_not_learned_from_in_another(
    mine: Store, tmp_path: Path
) -> None:
    """The same files under other names fall into other parts of a split: they are refused."""
    root = mine.dataset("rooms").root
    assert isinstance(root, Path)
    for file in root.rglob("*.png"):
        copy = tmp_path / "again" / file.parent.name / f"{file.stem[::-1]}x.png"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(file.read_bytes())
    add_dataset(mine, "again", "imagefolder", root=tmp_path / "again", seeds=[0])
    learning = Learning(("rooms", "again"), split="random")
    assert outputs(mine, learning) == ["a", "b"]
    with pytest.raises(DataError, match=r"images of 'rooms' .* training images of 'again'"):
        training_data(mine, learning, Preprocess(size=8, resize=8))


def test_held_out_regions(boxed: Store) -> None:
    """Held out are the plain boxes and as much background as the average class has boxes."""
    tables = RegionTables(boxed, boxed.dataset("boxed"), stored=False)
    held = held_out_regions([tables], [np.array([3])], Preprocess(size=8, resize=8))
    assert held.labels.tolist() == [0, 1, 1, 2, 2]  # 3 boxes of 2 classes: 1.5, rounded up
    again = held_out_regions([tables], [np.array([3])], Preprocess(size=8, resize=8))
    assert np.array_equal(held.regions.boxes, again.regions.boxes)


def test_a_part_without_objects_is_refused(boxed: Store) -> None:
    """Images without a plain box have no foreground to learn from; the error says so."""
    tables = RegionTables(boxed, boxed.dataset("boxed"), stored=False)
    with pytest.raises(DataError, match="1 images of a part of data set 'boxed' show no ground"):
        region_examples([tables], [np.array([1])], Preprocess(size=8, resize=8))


def test_one_class_of_boxes_is_enough(empty: Store) -> None:
    """With background, a data set of boxes of one class has two outputs to tell apart."""
    things = [Thing(0, (1, 1, 40, 40), "cat"), Thing(1, (1, 1, 40, 40), "cat")]
    add_boxes(empty, "cats", ("train", "val"), things)
    learning = Learning(("cats",), view="gt")
    assert outputs(empty, learning) == ["cat", "dog", BACKGROUND]
    data = training_data(empty, learning, Preprocess(size=8, resize=8))
    assert set(data.train.labels.tolist()) == {0, 2}


def test_several_classes_an_image(boxed: Store) -> None:
    """Whole images have a row of 1, -1, and 0 where a class is there as difficult only."""
    data = training_data(boxed, Learning(("boxed",)), Preprocess(size=8, resize=8))
    assert data.train.labels.dtype == np.int8
    assert data.train.labels.tolist() == [[1, 0], [-1, -1], [-1, 1]]
    assert data.held_out.labels.tolist() == [[1, 1]]  # no val: test


def test_trainval_learns_from_both(scenes: Store) -> None:
    """By default train learns and val measures; with trainval both learn, and test measures."""
    counts = {}
    for trainval in (False, True):
        learning = Learning(("scenes",), trainval=trainval)
        data = training_data(scenes, learning, Preprocess(size=8, resize=8))
        counts[trainval] = len(data.train.labels), len(data.held_out.labels)
    assert counts == {False: (30, 6), True: (36, 24)}


FINETUNE = """
import sys
from pathlib import Path
from fstore.workflows.train.finetune import finetune
from fstore.store import Store
from fstore.workflows.train.run import TrainingOptions

store, n = Store.open(Path(sys.argv[1])), int(sys.argv[2])
options = TrainingOptions(workers=2, save_every=2, validate_every=5,
                  on_step=lambda s: print(s.iteration, flush=True))
finetune(store, dataset="scenes", mode=sys.argv[3], parent="start", view="gt",
         iterations=n, snapshots=[3, 10], batch_size=8, mirror=True, options=options)
"""


def known(store: Store) -> dict[str, tuple[str, float | None, str]]:
    """Return what is registered: weights, loss and recipe of each checkpoint."""
    return {c.name: (c.sha256, c.loss, c.recipe) for c in store.checkpoints()}


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["ft", "fc-ft"])
def test_killed_runs_end_as_one(scenes: Store, tmp_path: Path, mode: str, seed: int) -> None:
    """Six kills at random moments change no bit of weights, losses and curves."""
    killed, whole = (copy_store(scenes, tmp_path / name) for name in ("killed", "whole"))
    n = 6 * 10 + 8
    run_with_kills(FINETUNE, killed.path, n, mode, kills=6, longest=8, seed=seed)
    run_code(FINETUNE, whole.path, n, mode)
    assert known(killed) == known(whole)
    names = {f"start-scenes-{mode}{end}" for end in ("-3", "-10", "")}
    assert names <= set(known(whole))
    assert list((killed.path / "training").iterdir()) == []
