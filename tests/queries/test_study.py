"""A study file is read strictly, kept in the store, and checked against its names."""

from dataclasses import fields
from pathlib import Path

import pytest

from _build import build
from fstore.errors import DataError, UnknownNameError
from fstore.extractor.training import snapshot_name
from fstore.queries.studies.bound import Bound
from fstore.queries.studies.making import Making, RecipeChanges
from fstore.queries.studies.study import (
    ROLES,
    load_study,
    parse_study,
    set_study,
    study_rows,
    study_text,
    unknown_names,
)
from fstore.queries.studies.ways import checkpoint_command
from fstore.store import Store
from fstore.types import CheckpointRecord

SMALL = """
name = "small"
network = "net"
layers = ["conv1", "fc"]
seeds = [3, 4]
sweep = ["5", "15"]
pretrained = "5"

[classification]
dataset = "d"

[scenes]
dataset = "e"
split = "random"
"""
TUNED = """
tuned = [
    { task = "scenes", mode = "ft", parent = "5" },
    { task = "scenes", mode = "scratch" },
    { task = "classification", mode = "fc-ft", parent = "15", ckpts = ["mine"] },
    { task = "detection", mode = "ft", parent = "5" },
]
"""
MAKE = """
[[make.datasets]]
name = "d"
format = "voc"
root = "VOCdevkit"
seeds = [0]
fractions = [0.6, 0.1, 0.3]
year = "2007"

[[make.proposals]]
dataset = "d"
method = "components"
max_proposals = 7
split = "test"

[[make.checkpoints]]
name = "5"
file = "a.npz"
iteration = 5

[make.pretrain]
dataset = "d"
iterations = 20
snapshots = [5, 15]
lr = 0.01
mirror = true

[[make.finetune]]
task = "scenes"
modes = ["ft", "scratch"]
iterations = 7
"""
STUDIES = Path(__file__).parents[2] / "study"


def test_read() -> None:
    """Every key lands where it belongs; random splits take the study's seeds."""
    study = parse_study(SMALL)
    assert (study.name, study.network, study.layers) == ("small", "net", ("conv1", "fc"))
    assert study.classification == (Bound("d", "official", (0,)),)
    assert study.scenes == (Bound("e", "random", (3, 4)),)
    assert (study.sweep, study.pretrained, study.finetuned) == (("5", "15"), "5", None)


def test_the_papers_study_has_runs() -> None:
    """The paper's error bars are of three splits: of Tables 3 and 7, and of scenes."""
    study = parse_study((STUDIES / "paper.toml").read_text())
    assert study.bound("classification") == (Bound("voc07", "random", (0, 1, 2)),)
    assert study.bound("scenes") == (Bound("sun397", "random", (0, 1, 2)),)
    assert study.bound("detection") == (Bound("voc07", "official", (0,)),)


def test_parts_of_a_split() -> None:
    """A role may use some parts of a split only; the words for it say which."""
    text = SMALL + '[detection]\ndataset = "d"\nparts = ["train", "test"]\n'
    (bound,) = parse_study(text).detection
    assert bound == Bound("d", parts=("train", "test"))
    assert [part for part in ("train", "val", "test") if bound.uses(part)] == ["train", "test"]
    rows = {row["role"]: row["value"] for row in study_rows(parse_study(text))}
    assert rows["detection"] == ["d, official split, train and test only"]
    assert rows["classification"] == ["d, official split"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ('["train", "tests"]', "detection.parts[1]: 'tests' is none of: test, train, val"),
        ('"train"', 'detection.parts must be a list like ["a", "b"]'),
        ('["train"]', "detection.parts: no data set gives its part test or val"),
        ('["val", "test"]', "detection.parts: no data set gives its part train"),
    ],
)
def test_mistakes_in_parts(parts: str, message: str) -> None:
    """Unknown parts are named, and what nothing can be learned from or tested on is refused."""
    with pytest.raises(DataError) as caught:
        parse_study(SMALL + f'[detection]\ndataset = "d"\nparts = {parts}\n')
    assert message in str(caught.value)


def test_parts_of_several_data_sets() -> None:
    """One of several data sets need not have all parts."""
    more = '[[detection_more]]\ndataset = "a"\n[[detection_more]]\ndataset = "b"\nparts = ["val"]\n'
    bounds = parse_study(SMALL + more).detection_more
    assert bounds == (Bound("a"), Bound("b", parts=("val",)))


def test_a_part_takes_a_data_set_once() -> None:
    """A data set named twice for one part is refused: its splits would leak into one another."""
    twice = '[[detection]]\ndataset = "a"\n[[detection]]\ndataset = "a"\nsplit = "random"\n'
    with pytest.raises(DataError, match="detection: data set 'a' is named 2 times"):
        parse_study(SMALL + twice)


def test_role_of_several_data_sets() -> None:
    """A role may bind a list of data sets and splits."""
    head = SMALL.split("[classification]", maxsplit=1)[0]
    more = (
        '[[detection]]\ndataset = "a"\n[[detection]]\ndataset = "b"\nsplit = "random"\nseeds = [7]'
    )
    bounds = parse_study(head + more).detection
    assert bounds == (Bound("a"), Bound("b", "random", (7,)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("network =", "netwerk ="), "x.toml: unknown key 'netwerk'; there are: name, network"),
        (('name = "small"\n', ""), "x.toml: key 'name' is missing"),
        (('["conv1", "fc"]', '"conv1"'), 'x.toml: layers must be a list like ["a", "b"]'),
        (("[3, 4]", "3"), "x.toml: seeds must be a list like [0, 1, 2], got 3"),
        (
            ("[3, 4]", "[true]"),
            "x.toml: seeds[0] must be a whole number of at most 63 bits, got True",
        ),
        (('"5"\n', "5\n"), "x.toml: pretrained must be text in quotes, got 5"),
        (('dataset = "d"', ""), "x.toml: classification: key 'dataset' is missing"),
        (('dataset = "d"', 'data = "d"'), "x.toml: classification: unknown key 'data'"),
        (("[3, 4]", "{ a = 1 }"), "x.toml: seeds must be a list like [0, 1, 2], got {'a': 1}"),
        (
            ("[scenes]\n", "[[scenes]]\ndataset = 'd'\n[[scenes]]\nparts = 1\n"),
            'x.toml: scenes[1].parts must be a list like ["a", "b"], got 1',
        ),
        (('[classification]\ndataset = "d"', ""), ""),
        (("[classification]", "[[[classification]"), "x.toml is not TOML"),
    ],
)
def test_mistakes_are_named(change: tuple[str, str], message: str) -> None:
    """An unknown key, a missing key and a wrong type are each named with their place."""
    text = SMALL.replace(*change)
    if not message:
        assert parse_study(text).classification == ()
        return
    with pytest.raises(DataError) as caught:
        parse_study(text, source="x.toml")
    assert message in str(caught.value)


def test_unbound_parts_are_named() -> None:
    """A report that needs a part which is not bound says which, and how to bind it."""
    study = parse_study(SMALL)
    with pytest.raises(DataError, match="says nothing of 'finetuned'"):
        study.checkpoint("finetuned")
    with pytest.raises(DataError, match=r"add \[detection\] with dataset"):
        study.bound("detection")


def test_newest_wins(tmp_path: Path) -> None:
    """The study set last is the current one; an older one is there by its name."""
    store = Store.create(tmp_path / "s")
    with pytest.raises(UnknownNameError, match="fstore study set FILE"):
        load_study(store)
    set_study(store, SMALL)
    other = SMALL.replace('"small"', '"other"')
    set_study(store, other)
    set_study(store, other.replace('"5", "15"', '"25"'))
    assert (load_study(store).name, load_study(store).sweep) == ("other", ("25",))
    assert load_study(store, "small").sweep == ("5", "15")
    assert study_text(store, "small") == SMALL
    with pytest.raises(UnknownNameError, match="there are: other, small"):
        load_study(store, "third")


def test_a_bad_study_is_not_kept(tmp_path: Path) -> None:
    """A file with a mistake changes nothing."""
    store = Store.create(tmp_path / "s")
    with pytest.raises(DataError):
        set_study(store, "name = 1")
    assert store.rows("studies").num_rows == 0


def test_unknown_names(tmp_path: Path) -> None:
    """Names that the store lacks are listed, those that it has are not."""
    store = build(tmp_path / "s").store
    text = SMALL.replace('"fc"]', '"fc9"]') + '[detection]\ndataset = "d"\nsplit = "random"'
    assert unknown_names(store, parse_study(text)) == [
        "detection: data set 'd' has no random split with seed 3",
        "detection: data set 'd' has no random split with seed 4",
        "scenes: no data set 'e' is registered",
        "network 'net' has no checkpoint 15",
        "network 'net' has no layer fc9 on record",
    ]


def test_rows() -> None:
    """Rows say each part that is bound, in words."""
    rows = {row["role"]: row["value"] for row in study_rows(parse_study(SMALL))}
    assert rows["seeds"] == [3, 4]
    assert rows["scenes"] == ["e, random split (seeds 3, 4)"]
    assert "finetuned" not in rows


def with_tuned(tuned: str = TUNED) -> str:
    """Return the study with checkpoints that are tuned for its parts."""
    head, tail = SMALL.split("\n[classification]", maxsplit=1)
    return f'{head}{tuned}[detection]\ndataset = "d"\n[classification]{tail}'


def test_tuned() -> None:
    """Checkpoints are named as fine-tuning names them, one a seed of the task's split."""
    study = parse_study(with_tuned())
    names = {(t.task, t.mode, t.parent): t.ckpts for t in study.tuned}
    assert names == {
        ("scenes", "ft", "5"): ("5-e-ft-s3", "5-e-ft-s4"),
        ("scenes", "scratch", None): ("e-scratch-s3", "e-scratch-s4"),
        ("classification", "fc-ft", "15"): ("mine",),
        ("detection", "ft", "5"): ("5-d-gt-ft",),
    }
    found = study.tuned_for("scenes", "ft", "5")
    assert found is not None
    assert str(found) == "scenes, ft from 5: 5-e-ft-s3 5-e-ft-s4"
    assert study.tuned_for("scenes", "ft", "15") is None
    rows = {row["role"]: row["value"] for row in study_rows(study)}
    assert rows["tuned"] == [str(t) for t in study.tuned]


def test_more_data_has_names_of_its_own() -> None:
    """Checkpoints of the two detection parts are told apart, also if both are one data set."""
    more = '    { task = "detection_more", mode = "ft", parent = "5" },\n]'
    text = with_tuned(TUNED.replace("]\n", more + "\n"))
    study = parse_study(text + '[detection_more]\ndataset = "d"\n')
    assert [t.ckpts for t in study.tuned[-2:]] == [("5-d-gt-ft",), ("5-d-gt-more-ft",)]


def test_the_seed_of_zero_has_no_suffix() -> None:
    """Seed 0 is not in the name, as in fine-tuning's own."""
    text = with_tuned().replace("seeds = [3, 4]", "seeds = [0, 2]")
    assert parse_study(text).tuned[1].ckpts == ("e-scratch", "e-scratch-s2")


def test_names_are_those_of_fine_tuning() -> None:
    """The default names of whole images are the ones that ``fstore train finetune`` gives."""
    from fstore.workflows.train.finetune import _name

    study = parse_study(with_tuned())
    parent = CheckpointRecord("net", "5")
    assert study.tuned[0].ckpts[0] == _name(parent, "e", "ft", seed=3)
    assert study.tuned[1].ckpts[0] == _name(None, "e", "scratch", seed=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ('task = "scenes"', 'task = "scene"'),
            "tuned[0].task: 'scene' is none of: classification",
        ),
        (('mode = "ft"', 'mode = "tf"'), "tuned[0].mode: 'tf' is none of: fc-ft, ft, scratch"),
        (('"ft", parent = "5"', '"ft"'), "tuned[0]: ft of task 'scenes' needs a parent"),
        (
            ('"scratch"', '"scratch", parent = "5"'),
            "scratch of task 'scenes' starts from no",
        ),
        (('"scratch"', '"scratch", from = "5"'), "tuned[1]: unknown key 'from'"),
        (('["mine"]', '["mine", "yours"]'), "2 checkpoints for fc-ft of task 'classification'"),
        (('"scratch"', '"ft", parent = "5"'), "tuned[1]: ft of task 'scenes' is there twice"),
        (
            ('[detection]\ndataset = "d"\n', ""),
            "tuned[3].task: no data set is bound to it; add [det",
        ),
    ],
)
def test_mistakes_in_tuned(change: tuple[str, str], message: str) -> None:
    """A wrong task, mode, parent or number of checkpoints is named."""
    text = with_tuned().replace(*change, 1)
    assert text != with_tuned()
    with pytest.raises(DataError) as caught:
        parse_study(text, source="x.toml")
    assert message in str(caught.value)


def test_tuned_for_several_data_sets() -> None:
    """Checkpoints that learn from several data sets are named after all of them, or as given."""
    more = '[[detection]]\ndataset = "d"\n[[detection]]\ndataset = "e"\n'
    text = with_tuned().replace('[detection]\ndataset = "d"\n', more)
    study = parse_study(text)
    assert study.tuned[-1].ckpts == ("5-d+e-gt-ft",)
    assert "--dataset d --dataset e --view gt" in checkpoint_command(None, study, "5-d+e-gt-ft")
    mixed = parse_study(text.replace(more, more + 'split = "random"\nseeds = [0]\n'))
    assert checkpoint_command(None, mixed, "5-d+e-gt-ft").startswith("fstore ckpt import FILE")
    last = 'mode = "ft", parent = "5" },\n]'
    named = text.replace(last, last.replace(" }", ', ckpts = ["x"] }'))
    assert parse_study(named).tuned[-1].ckpts == ("x",)


def test_commands_that_make_checkpoints() -> None:
    """The command names the run's split and seed; a checkpoint that was not tuned is imported."""
    study = parse_study(with_tuned())
    assert checkpoint_command(None, study, "5-e-ft-s4") == (
        "fstore train finetune --network net --from 5 --mode ft --dataset e --view image "
        "--split random:4 --seed 4 --name 5-e-ft-s4"
    )
    assert checkpoint_command(None, study, "5-d-gt-ft") == (
        "fstore train finetune --network net --from 5 --mode ft --dataset d --view gt "
        "--split official --seed 0 --name 5-d-gt-ft"
    )
    assert "--mode scratch --dataset e" in checkpoint_command(None, study, "e-scratch-s3")
    assert checkpoint_command(None, study, "5").startswith("fstore ckpt import FILE --network net")
    made = checkpoint_command(None, parse_study(with_tuned() + MAKE), "15")
    assert made.startswith("fstore train pretrain --network net --dataset ")
    assert " --snapshots 5,15" in made


def test_making() -> None:
    """What ``make`` says is read; keys that are a format's or a recipe's own are passed on."""
    make = parse_study(with_tuned() + MAKE).make
    (dataset,) = make.datasets
    assert (dataset.root, dataset.seeds, dataset.fractions) == ("VOCdevkit", (0,), (0.6, 0.1, 0.3))
    assert dataset.options == (("year", "2007"),)
    assert make.proposals_of("d").command(None) == (
        "fstore proposals --dataset d --method components --max-proposals 7 --part test"
    )
    assert make.proposals_of("e").command(None).endswith("--dataset e --method selective-search")
    assert (make.checkpoints[0].file, make.checkpoints[0].iteration) == ("a.npz", 5)
    assert make.pretrain[0].snapshots == (5, 15)
    assert make.pretrain[0].changes == (("lr", 0.01), ("mirror", True))
    assert (recipe := make.recipe("scenes", "ft")) is not None
    assert (recipe.iterations, recipe.trainval) == (7, True)
    assert make.recipe("scenes", "fc-ft") is None
    assert parse_study(SMALL).make == Making()
    rows = {row["role"] for row in study_rows(parse_study(with_tuned() + MAKE))}
    assert "make" not in rows


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("[make.pretrain]", "[make.pretraining]"), "make: unknown key 'pretraining'"),
        (("iterations = 20", ""), "make.pretrain: key 'iterations' is missing"),
        (("lr = 0.01", "rate = 0.01"), "make.pretrain: unknown key 'rate'; there are: dataset"),
        (("lr = 0.01", "lr = [1]"), "make.pretrain.lr must be a number, got [1]"),
        (("[5, 15]", "5"), "make.pretrain.snapshots must be a list like [0, 1, 2], got 5"),
        (('format = "voc"', ""), "make.datasets[0]: key 'format' is missing"),
        (
            ("[0.6, 0.1, 0.3]", "[0.6, 0.4]"),
            "make.datasets[0].fractions must be a list of 3 numbers like [0.",
        ),
        (
            ("max_proposals = 7", "max_proposals = 7.5"),
            "make.proposals[0].max_proposals must be a wh",
        ),
        (("max_proposals = 7", "most = 7"), "make.proposals[0]: unknown key 'most'"),
        (('"a.npz"', "1"), "make.checkpoints[0].file must be text in quotes, got 1"),
        (("iteration = 5", "iterations = 5"), "make.checkpoints[0]: unknown key 'iterations'"),
        (
            ('"scratch"]', '"all"]'),
            "make.finetune[0].modes[1]: 'all' is none of: fc-ft, ft, scratch",
        ),
        (
            ("iterations = 7", "iterations = 7.5"),
            "make.finetune[0].iterations must be a whole number",
        ),
        (
            ("iterations = 7", "iterations = 7\ntrainval = 1"),
            "make.finetune[0].trainval must be true",
        ),
        (('["ft", "scratch"]', '["fc-ft"]'), "make.finetune: 'tuned' has no checkpoint of task"),
    ],
)
def test_mistakes_in_making(change: tuple[str, str], message: str) -> None:
    """A wrong entry is named with its place."""
    assert change[0] in MAKE
    with pytest.raises(DataError) as caught:
        parse_study(with_tuned() + MAKE.replace(*change, 1), source="x.toml")
    assert f"x.toml: {message}" in str(caught.value)


def test_two_recipes_for_the_same() -> None:
    """A task and mode are made in one way."""
    twice = MAKE + '[[make.finetune]]\ntask = "scenes"\niterations = 9\n'
    with pytest.raises(DataError, match="mode ft of task 'scenes' is there twice"):
        parse_study(with_tuned() + twice)
    again = MAKE + '[[make.proposals]]\ndataset = "d"\n'
    with pytest.raises(DataError, match=r"make\.proposals: data set 'd' is there twice"):
        parse_study(with_tuned() + again)


def test_recipe_entries_are_those_of_recipes() -> None:
    """A study file may change every entry of a training recipe but the factors by parameter."""
    from fstore.extractor.training import Recipe

    assert set(RecipeChanges.__struct_fields__) == {f.name for f in fields(Recipe)} - {
        "multipliers"
    }


def test_unknown_tuned_checkpoints(tmp_path: Path) -> None:
    """Fine-tuned checkpoints that the store lacks are listed with the others."""
    store = build(tmp_path / "s").store
    (line,) = [x for x in unknown_names(store, parse_study(with_tuned())) if "checkpoint" in x]
    assert line.endswith("no checkpoint 15, 5-e-ft-s3, 5-e-ft-s4, e-scratch-s3, e-scratch-s4, "
                         "mine, 5-d-gt-ft")  # fmt: skip


@pytest.mark.parametrize("path", sorted(STUDIES.glob("*.toml")), ids=lambda p: p.stem)
def test_studies_of_the_project(path: Path) -> None:
    """The study files that come with fstore are in order and carry their file's name."""
    study = parse_study(path.read_text(), source=str(path))
    assert study.name == path.stem
    assert not study.sweep or study.pretrained == study.sweep[-1]
    made = {d.name for d in study.make.datasets}
    used = {b.dataset for role in ROLES for b in getattr(study, role)}
    assert used | {p.dataset for p in study.make.pretrain} == made
    tuned = {(t.task, t.mode) for t in study.tuned}
    assert all(study.make.recipe(task, mode) for task, mode in tuned)
    names = {p.name_prefix + snapshot_name(i) for p in study.make.pretrain for i in p.snapshots}
    names |= {c.name for c in study.make.checkpoints} | {c for t in study.tuned for c in t.ckpts}
    assert {study.pretrained, *study.sweep} <= names
    assert study.finetuned is None or study.finetuned in names
