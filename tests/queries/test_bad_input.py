"""What analyses do with unfit input: a named error or a stated exclusion, never a silent number."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from _build import add_checkpoint, add_layers, put
from _cli import run
from _studies import CKPTS, CLASSES, SHAPES, STUDY, N, StudyWorld, add_samples, make_study
from fstore.errors import DataError, FstoreError, UnknownNameError
from fstore.queries import analyses
from fstore.queries.refresh.show import show_report
from fstore.queries.studies.study import set_study
from fstore.store import Store
from fstore.store.files import Partition
from fstore.types import Part

FILTERS = ("single-filters", "filter-curves", "filter-subsets", "filter-overlap")
SVMS = ("classification", "accuracy", "retrieval")
ALL = (*SVMS, *FILTERS, "selectivity", "entropy-curve")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> StudyWorld:
    """Return images ``d`` and ``s`` and boxes ``g``, which no test changes."""
    return make_study(tmp_path_factory.mktemp("world") / "s")


def ask(store: Store, name: str, **more: Any) -> list[dict[str, Any]]:  # noqa: ANN401 - options
    """Ask an analysis about layer ``conv5`` of boxes ``g``, unless told otherwise."""
    given: dict[str, Any] = {"layer": "conv5", "ckpt": "5k", "dataset": "g", "view": "gt"}
    given |= {"channel": ("0",)} if name == "entropy-curve" else {}
    return [dict(row) for row in analyses.ask(store, name, **{**given, **more})]


def boxes(
    path: Path,
    Y: NDArray[np.int8],
    parts: list[Part],
    *,
    change: Callable[[NDArray[np.float32]], None] | None = None,
    kept: int | None = None,
) -> Store:
    """Return a store of boxes ``g`` with these labels; ``change`` alters layer ``conv5``.

    Activations of the first ``kept`` boxes only are there.
    """
    store = Store.create(path)
    add_samples(store, "g", Y, {0: parts}, view="gt")
    add_layers(store, "net", SHAPES)
    add_checkpoint(store, "net", "5k")
    rng = np.random.default_rng(0)
    for layer, (channels, height, width) in SHAPES.items():
        x = np.maximum(rng.normal(size=(len(Y), channels, height * width)), 0).astype(np.float32)
        if change is not None and layer == "conv5":
            change(x)
        put(store, Partition("net", "5k", "g", "gt", layer), x[:kept])
    return store


def labels(of: list[int]) -> NDArray[np.int8]:
    """Return the labels of samples of one class each."""
    Y: NDArray[np.int8] = (2 * np.eye(4, dtype=np.int8)[of] - 1).astype(np.int8)
    return Y


PARTS: list[Part] = ["train", "train", "train", "train", "test", "test", "test", "test"]

# classes that cannot be learned or tested


@pytest.fixture
def rare(tmp_path: Path) -> Store:
    """Return boxes: ``bus`` is in train only, ``car`` nowhere."""
    return boxes(tmp_path / "rare", labels([0, 1, 2, 0, 0, 1, 1, 0]), PARTS)


def test_classes_too_rare_for_the_split(rare: Store) -> None:
    """They have no AP, say how many positives they have, and are not in the mean."""
    rows = {row["class"]: row for row in ask(rare, "classification")}
    for name, positives in (("bus", (1, 0)), ("car", (0, 0))):
        assert (rows[name]["ap_11"], rows[name]["ap_all"], rows[name]["gap"]) == (None, None, None)
        assert (rows[name]["positives_train"], rows[name]["positives_test"]) == positives
    for measure in ("ap_11", "ap_all"):
        mean = (rows["cat"][measure] + rows["dog"][measure]) / 2
        assert rows["(mean)"][measure] == pytest.approx(mean)
    with pytest.raises(DataError, match="2 of 4 classes have no sample to learn from or none to"):
        ask(rare, "accuracy")


def test_classes_that_single_filters_leave_out(rare: Store) -> None:
    """Classes without a positive in the part have no rows, nor those that no SVM can learn."""
    for name in ("single-filters", "filter-curves", "filter-subsets"):
        assert {row["class"] for row in ask(rare, name)} == {"cat", "dog"}
    assert {row["class"] for row in ask(rare, "single-filters", part="train")} == {
        "cat",
        "dog",
        "bus",
    }
    assert {row["class"] for row in ask(rare, "filter-overlap")} == {"cat", "dog", "bus"}


def test_reports_leave_them_out(rare: Store) -> None:
    """Reports have no cell of such classes; their mean says of how many classes it is."""
    study = set_study(rare, STUDY.replace('finetuned = "15k"\n', ""))
    for name in ("figure3", "figure4", "table5"):
        text = " ".join(f"{r['row']} {r['col']}" for r in show_report(rare, study, name).rows)
        assert "cat" in text
        assert "bus" not in text
        assert "car" not in text
    Y = np.full((8, 4), -1, dtype=np.int8)
    Y[:, :2] = labels([0, 1, 1, 0, 0, 1, 1, 0])[:, :2]
    add_samples(rare, "d", Y, {0: PARTS, 1: PARTS, 2: PARTS})
    put(rare, Partition("net", "5k", "d", "image", "fc7"), np.ones((8, 40, 1), dtype=np.float32))
    rows = show_report(rare, study, "table7").rows
    counts = {row["value"] for row in rows if row["col"] == "none:classes"}
    assert counts == {2}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("classification", "no class has a positive and a negative sample to learn from"),
        ("accuracy", "4 of 4 classes have no sample to learn from or none to test on"),
        ("filter-subsets", "no class has a positive and a negative sample to learn from"),
    ],
)
def test_no_class_is_left(tmp_path: Path, name: str, message: str) -> None:
    """If no class can be learned and tested, that is an error and not an empty answer."""
    store = boxes(tmp_path / "s", labels([0, 0, 0, 1, 2, 2, 3, 3]), PARTS)
    with pytest.raises(DataError, match=message):
        ask(store, name)


def test_overlap_of_no_two_classes(tmp_path: Path) -> None:
    """Overlap needs two classes that can be learned."""
    store = boxes(tmp_path / "s", labels([0, 0, 0, 0, 1, 2, 2, 3]), PARTS)
    with pytest.raises(DataError, match=r"0 of 4 classes have both labels .* overlap needs 2"):
        ask(store, "filter-overlap")


@pytest.mark.parametrize("name", ["single-filters", "filter-curves"])
def test_no_class_in_the_part(tmp_path: Path, name: str) -> None:
    """A part that shows no class at all has no filter to rank."""
    Y = labels([0, 1, 2, 3, 0, 1, 2, 3])
    Y[4:] = -1
    store = boxes(tmp_path / "s", Y, PARTS)
    with pytest.raises(DataError, match="no class has a positive among 4 samples"):
        ask(store, name, difficult=True)


def test_nothing_answers_a_query(tmp_path: Path) -> None:
    """Retrieval with queries of classes that the database lacks is an error, not NaN."""
    store = boxes(tmp_path / "s", labels([0, 0, 1, 1, 2, 2, 3, 3]), PARTS)
    with pytest.raises(DataError, match="none of 4 test samples shares a class with any of the 4"):
        ask(store, "retrieval")


def test_one_query(tmp_path: Path) -> None:
    """A single query has an AP but no deviation; the others are counted as unanswerable."""
    store = boxes(tmp_path / "s", labels([0, 0, 1, 1, 0, 2, 3, 3]), PARTS)
    for row in ask(store, "retrieval"):
        assert (row["queries"], row["unanswerable"], row["std"]) == (1, 3, None)
        assert 0 < row["mean_ap"] <= 1


# activations that are not there, or not fit


@pytest.mark.parametrize("name", ALL)
def test_samples_without_activations(tmp_path: Path, name: str) -> None:
    """A checkpoint that lacks samples of the split is refused, with the command that makes them."""
    store = boxes(tmp_path / "s", labels([0, 1, 0, 1, 0, 1, 0, 1]), PARTS, kept=6)
    message = (
        r"net/5k g\.gt conv5 lacks activations of 2 of 4 samples; make them with: "
        "fstore extract --layer conv5 --ckpt net/5k --dataset g --view gt"
    )
    with pytest.raises(UnknownNameError, match=message):
        ask(store, name)


def test_more_samples_than_the_data_set_has(tmp_path: Path) -> None:
    """Activations of samples that are not the data set's play no part in any answer."""
    answers = []
    for extra in (0, 3):
        store = boxes(tmp_path / f"s{extra}", labels([0, 1, 0, 1, 0, 1, 0, 1]), PARTS)
        if extra:
            x = np.full((extra, 32, 4), 1000, dtype=np.float32)
            place = Partition("net", "5k", "g", "gt", "conv5")
            put(store, place, x, sample_ids=range(8, 8 + extra))
        answers.append([ask(store, name) for name in ("classification", "selectivity", *FILTERS)])
    assert answers[0] == answers[1]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("name", [*ALL, "selectivity --grid 8"])
def test_not_finite(tmp_path: Path, name: str, bad: float) -> None:
    """A NaN or an infinity that an answer would rest on is an error that names where it is."""

    def spoil(x: NDArray[np.float32]) -> None:
        x[4, 0] = bad  # all places: also the largest of a map is not finite

    store = boxes(tmp_path / "s", labels([0, 1, 0, 1, 0, 1, 0, 1]), PARTS, change=spoil)
    more = {"grid": 8} if "grid" in name else {}
    with pytest.raises(DataError, match=r"1 samples are NaN or infinite, .* sample 4, channel 0"):
        ask(store, name.split(maxsplit=1)[0], **more)


def test_not_finite_in_a_report(tmp_path: Path) -> None:
    """A report stops at the layer that is not finite, and says which."""

    def spoil(x: NDArray[np.float32]) -> None:
        x[4, 3, 2] = np.nan

    store = boxes(tmp_path / "s", labels([0, 1, 0, 1, 0, 1, 0, 1]), PARTS, change=spoil)
    study = set_study(store, STUDY.replace('finetuned = "15k"\n', ""))
    for name in ("figure1", "s_figure1", "figure3", "figure5", "table5"):
        with pytest.raises(DataError, match=r"net/5k g\.gt conv5: .* sample 4, channel 3"):
            show_report(store, study, name)
    assert show_report(store, study, "table10").rows  # its layer is another


def test_other_parts_may_be_unfit(tmp_path: Path) -> None:
    """A NaN in a sample that an answer does not use does not stop it."""

    def spoil(x: NDArray[np.float32]) -> None:
        x[0] = np.nan  # a box of train

    store = boxes(tmp_path / "s", labels([0, 1, 0, 1, 0, 1, 0, 1]), PARTS, change=spoil)
    for measure in ("label", "weighted", "sp_max"):
        for grid in (0, 8):
            rows = ask(store, "selectivity", measure=measure, grid=grid)
            assert np.isfinite([row["aue"] for row in rows]).all()


# labels that selectivity cannot use


@pytest.mark.parametrize("name", ["selectivity", "entropy-curve"])
def test_one_class(tmp_path: Path, name: str) -> None:
    """Samples of one class only have no entropy to speak of, exactly or on a grid."""
    store = boxes(tmp_path / "s", labels([0, 1, 2, 3, 0, 0, 0, 0]), PARTS)
    for more in ({}, {"grid": 8}) if name == "selectivity" else ({},):
        with pytest.raises(DataError, match="all 4 samples are of one class"):
            ask(store, name, **more)


@pytest.mark.parametrize("grid", [0, 8])
def test_images_of_several_classes(world: StudyWorld, grid: int) -> None:
    """Whole images that show several classes, or none, are refused; boxes are what to use."""
    message = r"\d+ of 20 samples show no class or several; .* use ground-truth boxes \(view gt\)"
    with pytest.raises(DataError, match=message):
        ask(world.store, "selectivity", dataset="d", view="image", grid=grid)


def test_accuracy_of_several_classes(world: StudyWorld) -> None:
    """Accuracy is refused where images show several classes; AP is what to use."""
    with pytest.raises(DataError, match="accuracy is for data sets with one class a sample"):
        ask(world.store, "accuracy", dataset="d", view="image")


# options


@pytest.mark.parametrize(
    ("name", "option", "value", "message"),
    [
        ("selectivity", "measure", "max", "no measure 'max'; there are: label, weighted, sp_max"),
        ("selectivity", "part", "tset", "no part 'official:tset'; it has: official:train"),
        ("selectivity", "grid", -1, "grid must be 0 (exact) or a number of thresholds, got -1"),
        ("selectivity", "split", "random", "no part 'random:0:test'; it has: official:train"),
        ("selectivity", "layer", "conv9", "fstore extract --layer conv9 --ckpt 5k --dataset g"),
        ("entropy-curve", "measure", "max", "no measure 'max'"),
        ("entropy-curve", "channel", ("32",), "no channel 32 in net/5k g.gt conv5; it has 0 to 31"),
        ("entropy-curve", "channel", ("-1",), "channels are numbers from 0"),
        ("entropy-curve", "channel", ("x",), "no channel 'x'; channels are numbers from 0"),
        ("entropy-curve", "channel", (str(10**20),), "no channel 100000000000000000000 in net/5k"),
        ("entropy-curve", "channel", (), "no channel of net/5k g.gt conv5 is asked for"),
        ("single-filters", "part", "tset", "no part 'tset'; there are: train, val, test, all"),
        ("single-filters", "top", -1, "top must be 0 (all filters) or more, got -1"),
        ("filter-curves", "top", 0, "top must be at least 1, got 0"),
        ("filter-curves", "part", "tset", "no part 'tset'"),
        ("filter-overlap", "top", 33, "the 33 best of 32 filters cannot be taken; lower --top"),
        ("filter-overlap", "top", 0, "top must be at least 1, got 0"),
        ("filter-overlap", "seed", 1, "no part 'official:1:train'; it has: official:train"),
        ("classification", "ablation", "blur", "no ablation 'blur'; there are: none, binarize"),
        ("classification", "ablation", "top_k=0", "the mean is of at least 1 response"),
        ("classification", "c", 0.0, "C must be above 0 and finite, got 0"),
        ("classification", "c", np.inf, "C must be above 0 and finite, got inf"),
        ("classification", "c", np.nan, "C must be above 0 and finite, got nan"),
        ("accuracy", "ablation", ("none", "blur"), "no ablation 'blur'"),
        ("retrieval", "network", "other", "no activations of layer 'conv5'"),
        ("retrieval", "ckpt", "16", "there are those of net/15k, net/5k; no checkpoint '16'"),
    ],
)
def test_options(world: StudyWorld, name: str, option: str, value: object, message: str) -> None:
    """A name that is not there, or a number that makes no sense, is an error that says so."""
    more = {option: value}
    if name == "accuracy":
        more |= {"dataset": "s", "view": "image"}
    with pytest.raises(FstoreError, match=re.escape(message)):
        ask(world.store, name, **more)


def test_more_filters_than_there_are(world: StudyWorld) -> None:
    """Asked for more best filters than the layer has, single-filters lists them all."""
    rows = ask(world.store, "single-filters", top=99)
    assert len(rows) == 32 * len(CLASSES)
    assert rows == ask(world.store, "single-filters", top=0)
    assert len({row["rank"] for row in ask(world.store, "filter-curves", top=99)}) == 32


@pytest.mark.parametrize("name", ["single-filters", "filter-curves"])
def test_split_without_val(tmp_path: Path, name: str) -> None:
    """Part val of a split that has none is an error that lists what there is."""
    store = boxes(tmp_path / "s", labels([0, 1, 0, 1, 0, 1, 0, 1]), PARTS)
    with pytest.raises(UnknownNameError, match="part 'val' of the split has no samples"):
        ask(store, name, part="val")
    with pytest.raises(DataError, match="no val part"):
        ask(store, "classification", choose_c=True)


# the command line


WHERE = ("--layer", "conv5", "--ckpt", "5k", "--dataset", "g")


@pytest.mark.parametrize(
    "words",
    [
        ("selectivity", "--layer", "conv9", "--ckpt", "5k", "--dataset", "g"),
        ("selectivity", "--layer", "conv5", "--ckpt", "5k", "--dataset", "d", "--view", "image"),
        ("selectivity", *WHERE, "--measure", "max"),
        ("selectivity", *WHERE, "--grid", "-4"),
        ("entropy-curve", *WHERE, "--channel", "32"),
        ("single-filters", *WHERE, "--part", "tset"),
        ("filter-overlap", *WHERE, "--top", "99"),
        ("classification", *WHERE, "--ablation", "blur"),
    ],
)
def test_command_line(world: StudyWorld, words: tuple[str, ...]) -> None:
    """Status 1, nothing on stdout, one line on stderr."""
    done = run(world.store, "analyze", *words)
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")


def test_command_line_of_a_report(tmp_path: Path) -> None:
    """A report that has nothing to show: status 1, the commands that would change it."""
    store = Store.create(tmp_path / "s")
    add_samples(store, "g", labels([n % 4 for n in range(N)]), {0: ["test"] * N}, view="gt")
    add_layers(store, "net", SHAPES)
    for ckpt in CKPTS:
        add_checkpoint(store, "net", ckpt)
    set_study(store, STUDY)
    done = run(store, "report", "show", "figure1")
    assert (done.exit_code, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    for ckpt in CKPTS:
        assert f"fstore extract --layer conv5 --layer fc7 --ckpt net/{ckpt} --dataset g" in line
