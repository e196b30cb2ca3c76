"""Detectors trained with mined negatives are those of scikit-learn on all negatives."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray
from sklearn.svm import LinearSVC

from _build import put
from _detection import CLASSES, Scenes, make_scenes, relabel
from fstore.errors import DataError, IdentityError, UnknownNameError
from fstore.pixels.boxes import iou_matrix
from fstore.queries.detection import features as detection_features
from fstore.queries.detection.ascent import ascend
from fstore.queries.detection.detector import (
    Detector,
    detector_names,
    load_detector,
    save_detector,
)
from fstore.queries.detection.mining import Block, Mined, MiningOptions, full_objectives, mine
from fstore.queries.detection.nms import nms
from fstore.queries.detection.pool import Pool, PoolFullError
from fstore.queries.detection.regions import detection_set, near_objects, set_parts
from fstore.queries.detection.run import evaluate_detector
from fstore.queries.detection.scoring import Keep, detect, read_detections, store_detections
from fstore.queries.detection.training import Features, train_detector
from fstore.store import Store
from fstore.store.parts import Samples, Split
from fstore.store.tables import replace_rows
from fstore.types import FloatArray

C = 1e-3
CONV = Features("net", "5", "conv")

# ---------------------------------------------------------------- one SVM


def problem(
    seed: int, n: int = 900, d: int = 60, positives: int = 40
) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Draw sparse positive features of norm 20; positives, which come first, lie a little apart."""
    rng = np.random.default_rng(seed)
    mixed = rng.normal(size=(n, 10)) @ rng.normal(size=(10, d)) * 0.4 + rng.normal(size=(n, d))
    mixed[:positives] += 0.7 * rng.normal(size=d)
    X = np.maximum(mixed - 0.5, 0).astype(np.float32)
    X *= 20 / np.linalg.norm(X, axis=1).mean()
    y = np.full(n, -1, dtype=np.int8)
    y[:positives] = 1
    return X, y


def peer(X: FloatArray, y: NDArray[np.int8]) -> tuple[FloatArray, float]:
    """Return w and b of R-CNN's SVM by scikit-learn, tightly converged."""
    model = LinearSVC(
        loss="hinge",
        dual=True,
        C=C,
        class_weight={1: 2},
        intercept_scaling=10,
        tol=1e-8,
        max_iter=10_000_000,
    ).fit(X.astype(np.float64), y)
    return model.coef_[0], float(model.intercept_[0])


def objective(X: FloatArray, y: NDArray[np.int8], w: FloatArray, b: float) -> float:
    """Return 1/2 |w|^2 + 1/2 (b / 10)^2 + C sum of weighted hinge losses."""
    wide = X.astype(np.float64)
    loss = np.maximum(0, 1 - y * (wide @ w.astype(np.float64) + b))
    norm = float(w.astype(np.float64) @ w.astype(np.float64)) + (b / 10) ** 2
    return 0.5 * norm + C * float((np.where(y > 0, 2, 1) * loss).sum())


@pytest.mark.parametrize("shape", [(900, 60, 40), (120, 400, 15)])
def test_ascent_equals_linear_svc(seed: int, shape: tuple[int, int, int]) -> None:
    """w, b and the objective are those of LinearSVC, with more samples than features and fewer."""
    X, y = problem(seed, *shape)
    w, b = peer(X, y)
    found = ascend(X, np.arange(len(y)), y, C=C, tolerance=1e-7)
    assert found.objective == pytest.approx(objective(X, y, w, b), rel=1e-6)
    # near its least the objective is flat: a gap of 1e-7 leaves about its root for w
    np.testing.assert_allclose(found.w, w, atol=1e-3 * np.abs(w).max())
    assert found.b == pytest.approx(b, abs=1e-3)
    np.testing.assert_allclose(found.scores, X @ w + b, atol=1e-3)


def test_the_gap_bounds_the_excess(seed: int) -> None:
    """At any tolerance, the least objective lies between the dual's value and the objective."""
    X, y = problem(seed)
    least = objective(X, y, *peer(X, y))
    for tolerance in (0.3, 0.01, 1e-4):
        found = ascend(X, np.arange(len(y)), y, C=C, tolerance=tolerance)
        assert found.dual <= least * (1 + 1e-9)
        assert found.objective >= least * (1 - 1e-6)  # scores are float32
        assert found.gap < tolerance
        assert found.objective == pytest.approx(objective(X, y, found.w, found.b), rel=1e-5)


def test_warm_start(seed: int) -> None:
    """From its own result training ends at once; from that of a part it needs fewer passes."""
    X, y = problem(seed)
    rows = np.arange(len(y))
    cold = ascend(X, rows, y, C=C)
    assert ascend(X, rows, y, C=C, start=cold.coefficients).passes == 0
    part = ascend(X, rows[:800], y[:800], C=C)
    start = np.append(part.coefficients, np.zeros(100))
    warm = ascend(X, rows, y, C=C, start=start)
    assert warm.passes <= cold.passes
    assert warm.objective == pytest.approx(cold.objective, rel=2e-4)  # two gaps of 1e-4


def test_a_start_out_of_bounds_is_cut(seed: int) -> None:
    """Coefficients that no solution can have do no harm."""
    X, y = problem(seed)
    rows = np.arange(len(y))
    start = np.random.default_rng(seed).normal(size=len(y))
    found = ascend(X, rows, y, C=C, start=start)
    assert (np.abs(found.coefficients) <= C * np.where(y > 0, 2, 1)).all()
    assert found.objective == pytest.approx(ascend(X, rows, y, C=C).objective, rel=2e-4)


def test_rows_are_chosen_from_a_larger_matrix(seed: int) -> None:
    """Rows that are not named play no part, be they NaN."""
    X, y = problem(seed, n=200)
    rows = np.random.default_rng(seed).permutation(500)[:200]
    wide = np.full((500, X.shape[1]), np.nan, dtype=np.float32)
    wide[rows] = X
    found, same = ascend(wide, rows, y, C=C), ascend(X, np.arange(200), y, C=C)
    np.testing.assert_array_equal(found.w, same.w)


def test_one_kind_of_label() -> None:
    """Nothing can be learned from positives alone."""
    X, y = problem(0, n=30, positives=30)
    with pytest.raises(DataError, match="at least one positive and one negative"):
        ascend(X, np.arange(30), y, C=C)


# ---------------------------------------------------------------- mining


def stream(
    X: NDArray[np.float32], negative: NDArray[np.bool_], *, per_image: int, per_block: int
) -> Iterator[Block]:
    """Yield boxes as blocks; images have so many boxes each, and may be cut by a block's end."""
    keys = np.arange(len(X))
    for start in range(0, len(X), per_block):
        part = slice(start, start + per_block)
        yield Block(keys[part], keys[part] // per_image, X[part], negative[part])


@pytest.mark.parametrize("retrain_after", [2000, 50])
@pytest.mark.parametrize("per_block", [70, 10_000])
def test_mining_reaches_all_negatives(seed: int, retrain_after: int, per_block: int) -> None:
    """One pass reaches the objective of LinearSVC on all negatives within 1 %, and says so."""
    options = MiningOptions(retrain_after=retrain_after)
    drawn = [problem(seed + k, n=2500, positives=30) for k in range(2)]
    pooled = np.concatenate([X[30:] for X, _ in drawn])
    negative = np.random.default_rng(seed).random((len(pooled), 2)) < 0.9
    positives = [X[:30] for X, _ in drawn]

    def blocks() -> Iterator[Block]:
        return stream(pooled, negative, per_image=60, per_block=per_block)

    mined = mine(positives, blocks, options)
    reached = full_objectives(mined, positives, blocks, options=options)
    for k, found in enumerate(mined):
        assert found is not None
        X = np.concatenate([positives[k], pooled[negative[:, k]]])
        y = np.where(np.arange(len(X)) < 30, 1, -1).astype(np.int8)
        least = objective(X, y, *peer(X, y))
        assert objective(X, y, found.w, found.b) <= 1.01 * least
        assert reached[k] == pytest.approx(objective(X, y, found.w, found.b), rel=1e-5)
        assert found.dual <= least * (1 + 1e-9)  # so the gap that is told is no promise too much
        assert found.negatives == negative[:, k].sum()
        assert 0 < found.cached < found.added <= found.negatives


def test_what_stays_in_the_cache(seed: int) -> None:
    """At the end no cached negative scores below -1.2, and all violators of the margin are in."""
    X, _ = problem(seed, n=1200, positives=30)
    negative = np.ones((1170, 1), dtype=bool)
    (found,) = mine([X[:30]], lambda: stream(X[30:], negative, per_image=50, per_block=300))
    assert found is not None
    scores = X[30:] @ found.w + found.b
    assert (scores > -1 + 1e-3).sum() <= found.cached <= (scores >= -1.2 - 1e-3).sum()


def test_a_second_pass_finds_what_the_first_missed(seed: int) -> None:
    """Further passes end when nothing is new, and give the optimum to their tolerance."""
    X, y = problem(seed, n=1500, positives=30)
    negative = np.ones((1470, 1), dtype=bool)
    calls = []

    def blocks() -> Iterator[Block]:
        calls.append(1)
        return stream(X[30:], negative, per_image=20, per_block=500)

    (found,) = mine([X[:30]], blocks, MiningOptions(passes=20, tolerance=1e-5))
    assert found is not None
    assert 2 <= len(calls) < 20
    least = objective(X, y, *peer(X, y))
    assert objective(X, y, found.w, found.b) == pytest.approx(least, rel=2e-5)


def test_classes_without_boxes() -> None:
    """A class without a positive, or without a negative, gets no SVM; the others do."""
    X, _ = problem(0, n=300, positives=20)
    negative = np.ones((280, 3), dtype=bool)
    negative[:, 2] = False
    mined = mine(
        [X[:20], X[:0], X[:20]], lambda: stream(X[20:], negative, per_image=40, per_block=90)
    )
    assert [m is None for m in mined] == [False, True, True]


def test_a_small_cache_trains_earlier(seed: int) -> None:
    """Where boxes do not fit, classes are trained and evict first; the objective is the same."""
    X, y = problem(seed, n=2000, positives=30)
    negative = np.ones((1970, 1), dtype=bool)

    def blocks() -> Iterator[Block]:
        return stream(X[30:], negative, per_image=100, per_block=500)

    (roomy,) = mine([X[:30]], blocks)
    (tight,) = mine([X[:30]], blocks, MiningOptions(cache_bytes=4 * 60 * 420))
    assert roomy is not None
    assert tight is not None
    assert tight.trainings > roomy.trainings
    least = objective(X, y, *peer(X, y))
    assert objective(X, y, tight.w, tight.b) <= 1.01 * least


@pytest.mark.parametrize("boxes", [10, 60])
def test_a_cache_that_is_too_small(boxes: int) -> None:
    """Positives, or hard negatives, that do not fit are an error that says what to change."""
    X, _ = problem(0, n=400, positives=30)
    negative = np.ones((370, 1), dtype=bool)
    with pytest.raises(DataError, match=r"cache of 0 MiB is full.*--cache-mib"):
        mine(
            [X[:30]],
            lambda: stream(X[30:], negative, per_image=100, per_block=500),
            MiningOptions(cache_bytes=4 * 60 * boxes),
        )


def test_pool(seed: int) -> None:
    """Rows are there once however often they are held, and make room when nobody holds them."""
    X = np.random.default_rng(seed).normal(size=(4, 3)).astype(np.float32)
    pool = Pool(3, max_bytes=3 * 3 * 4)
    at = pool.places([7, 8, 9], X[:3])
    pool.hold(at)
    pool.hold(at[:1])
    assert pool.held_bytes == 36
    assert pool.places([9, 7], X[[2, 0]]).tolist() == at[[2, 0]].tolist()
    with pytest.raises(PoolFullError):
        pool.places([10], X[3:])
    pool.release(at)
    (place,) = pool.places([10], X[3:]).tolist()
    assert place != at[0]
    np.testing.assert_array_equal(pool.values[[at[0], place]], X[[0, 3]])
    assert pool.keys(np.array([place])) == [10]


# ---------------------------------------------------------------- from a store


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Scenes:
    """Return a store with objects, proposals and features of both."""
    return make_scenes(tmp_path_factory.mktemp("scenes") / "s")


@pytest.fixture(scope="module")
def trained(scenes: Scenes) -> Detector:
    """Return a detector of conv as it is."""
    return train_detector(scenes.store, scenes.samples("train", "val"), CONV, verify=True)


def dense(scenes: Scenes, label: int) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Return the features and labels that a class's SVM learns from, without any store."""
    images = scenes.images_of("train", "val")
    searched = np.isin(scenes.image, images)
    scale = 20 / np.linalg.norm(scenes.values[searched].reshape(-1, 72), axis=1).mean()
    mine_ = (scenes.gt_label == label) & np.isin(scenes.gt_image, images)
    same = scenes.image[:, None] == scenes.gt_image
    iou = iou_matrix(scenes.boxes, scenes.gt_boxes) * same * (scenes.gt_label == label)
    negative = searched & (iou.max(axis=1) < 0.3)
    X = np.concatenate([scenes.gt_values[mine_], scenes.values[negative]]).reshape(-1, 72)
    y = np.where(np.arange(len(X)) < mine_.sum(), 1, -1).astype(np.int8)
    return (X * scale).astype(np.float32), y


def test_detector_equals_scikit_learn(scenes: Scenes, trained: Detector) -> None:
    """From the store, each class reaches LinearSVC on all its boxes and negatives within 1 %."""
    assert trained.classes == CLASSES[:3]
    assert trained.record["left_out"] == ["unseen"]
    for label, counts in enumerate(trained.record["classes"]):
        X, y = dense(scenes, label)
        assert (counts["positives"], counts["negatives"]) == ((y > 0).sum(), (y < 0).sum())
        least = objective(X, y, *peer(X, y))
        reached = objective(X, y, trained.W[:, label], float(trained.b[label]))
        assert reached <= 1.01 * least
        assert counts["objective"] == pytest.approx(reached, rel=1e-4)
        assert (reached - least) / reached <= counts["gap"] + 1e-6 <= 0.01


def test_difficult_objects_are_no_negatives(scenes: Scenes) -> None:
    """Proposals near an object count as near it, difficult or not, from an IoU of 0.3 on."""
    images = detection_set(scenes.store, scenes.samples("train", "val"))
    (regions,) = images.regions
    near = near_objects(scenes.store, regions, images.classes)
    same = scenes.image[:, None] == scenes.gt_image
    iou = iou_matrix(scenes.boxes, scenes.gt_boxes) * same
    for label in range(3):
        expected = np.asarray((iou * (scenes.gt_label == label)).max(axis=1) >= 0.3)
        assert near[:, label].tolist() == expected[regions.ids].tolist()
    assert not near[:, 3].any()
    hard = np.asarray(iou[:, scenes.gt_difficult].max(axis=1) >= 0.3)
    assert np.asarray(near.any(axis=1))[hard[regions.ids]].all()


def test_files_and_blocks_change_nothing_much(
    scenes: Scenes, trained: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the proposals are cut into files and blocks, the objective is reached."""
    monkeypatch.setattr(detection_features, "BLOCK_BYTES", 4 * 72 * 37)
    other = make_scenes(tmp_path / "s", files=11)
    found = train_detector(other.store, other.samples("train", "val"), CONV)
    assert found.scale == pytest.approx(trained.scale)
    for label in range(3):
        X, y = dense(scenes, label)
        both = [objective(X, y, d.W[:, label], float(d.b[label])) for d in (found, trained)]
        assert both[0] == pytest.approx(both[1], rel=0.01)


def test_ablations(scenes: Scenes) -> None:
    """Each ablation has a detector of its own on its own features, mined by itself."""
    parts, found = scenes.samples("train", "val"), {}
    for ablation in ("binarize", "sp_max", "sp_shuffle"):
        features = dataclasses.replace(CONV, ablation=ablation)
        found[ablation] = train_detector(scenes.store, parts, features)
    assert [len(d.W) for d in found.values()] == [72, 8, 72]
    searched = np.isin(scenes.image, scenes.images_of("train", "val"))
    bits = (scenes.values[searched] > 0).reshape(-1, 72)
    norm = np.sqrt(bits.sum(axis=1)).mean()
    assert found["binarize"].scale == pytest.approx(20 / norm)
    largest = scenes.values[searched].max(axis=2)
    assert found["sp_max"].scale == pytest.approx(20 / np.linalg.norm(largest, axis=1).mean())
    assert set(detector_names(scenes.store)) >= {f"d-net-5-conv-{a}" for a in found}


def test_a_trained_detector_is_used_again(scenes: Scenes, trained: Detector) -> None:
    """The same training is not repeated; another one under the name is refused."""
    parts = scenes.samples("train", "val")
    again = train_detector(scenes.store, parts, CONV)
    assert again.record["trained_at"] == trained.record["trained_at"]
    assert again.record["verified"]
    with pytest.raises(IdentityError, match="differs in options; choose another --name"):
        train_detector(scenes.store, parts, CONV, options=MiningOptions(C=0.01))
    with pytest.raises(IdentityError, match="images, trained_on"):
        train_detector(scenes.store, scenes.samples("train"), CONV, name=trained.name)
    other = train_detector(scenes.store, parts, CONV, name="x", classes=["b"])
    assert other.classes == ("b",)
    np.testing.assert_allclose(other.W[:, 0], trained.W[:, 1], atol=0.02)
    other = train_detector(scenes.store, parts, CONV, name="x", classes=["a"], overwrite=True)
    assert other.classes == ("a",)


def test_other_labels_are_another_detector(tmp_path: Path) -> None:
    """After labels changed, a detector of the old ones is refused by name, and trained anew."""
    scenes = make_scenes(tmp_path / "s", n_images=12)
    parts = scenes.samples("train", "val")
    old = train_detector(scenes.store, parts, CONV)
    now = relabel(scenes, (scenes.gt_label + 1) % 3)
    with pytest.raises(IdentityError, match="differs in labels; choose another --name"):
        train_detector(now.store, parts, CONV)
    new = train_detector(now.store, parts, CONV, overwrite=True)
    # class a was called c before: the same boxes
    np.testing.assert_allclose(new.W[:, 1], old.W[:, 0], atol=0.02)


def test_detectors_of_an_older_version_are_refused(scenes: Scenes, trained: Detector) -> None:
    """A detector whose record says nothing of labels is not taken for one of these labels."""
    old = {k: v for k, v in trained.record.items() if k != "labels"} | {"fingerprint": "old"}
    save_detector(scenes.store, dataclasses.replace(trained, name="old", record=old))
    with pytest.raises(IdentityError, match="differs in labels"):
        train_detector(scenes.store, scenes.samples("train", "val"), CONV, name="old")


def test_detectors_are_read_back(scenes: Scenes, trained: Detector) -> None:
    """A detector comes back whole; names with a slash are kept; a damaged file is named."""
    save_detector(scenes.store, dataclasses.replace(trained, name="fire2/concat x"))
    back = load_detector(scenes.store, "fire2/concat x")
    np.testing.assert_array_equal(back.W, trained.W)
    assert dataclasses.replace(back, name=trained.name, W=trained.W, b=trained.b) == trained
    with pytest.raises(UnknownNameError, match="no detector 'nothing'; there are: d-net-5-conv"):
        load_detector(scenes.store, "nothing")
    path = save_detector(scenes.store, dataclasses.replace(trained, name="damaged"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="damaged"):
        load_detector(scenes.store, "damaged")
    path.unlink()
    with pytest.raises(DataError, match="cannot name a detector"):
        load_detector(scenes.store, "")
    with pytest.raises(DataError, match="features of 72 values, not of 8"):
        trained.scores(np.zeros((1, 8), dtype=np.float32))


def test_detections(scenes: Scenes, trained: Detector) -> None:
    """Scores, suppression and order are those of a direct loop over the images."""
    images = detection_set(scenes.store, scenes.samples("test"))
    found = detect(scenes.store, trained, images, keep=Keep(per_image=5, min_score=-1.1))
    names = [name for _, name in images.images]
    for label, of_class in enumerate(found):
        rows = []
        for number in scenes.images_of("test"):
            mine_ = scenes.image == number
            X = scenes.values[mine_].reshape(-1, 72) * trained.scale
            scores = X @ trained.W[:, label] + trained.b[label]
            boxes = scenes.boxes[mine_][scores >= -1.1]
            scores = scores[scores >= -1.1]
            kept = nms(boxes, scores)[:5]
            rows += [(f"i{number:03d}", *boxes[k], scores[k]) for k in kept]
        assert [names[i] for i in of_class.image] == [row[0] for row in rows]
        assert of_class.boxes.tolist() == [list(row[1:5]) for row in rows]
        np.testing.assert_allclose(of_class.scores, [row[5] for row in rows], atol=1e-4)


def test_images_may_be_spread_over_files(
    scenes: Scenes, trained: Detector, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files and blocks that cut images give the same detections."""
    monkeypatch.setattr(detection_features, "BLOCK_BYTES", 4 * 72 * 10)
    other = make_scenes(tmp_path / "s", files=17)
    parts = scenes.samples("test")
    both = [detect(s.store, trained, detection_set(s.store, parts)) for s in (scenes, other)]
    for one, two in zip(*both, strict=True):
        order = [np.lexsort((-x.scores, x.image)) for x in (one, two)]
        assert one.image[order[0]].tolist() == two.image[order[1]].tolist()
        np.testing.assert_allclose(one.scores[order[0]], two.scores[order[1]], atol=1e-5)


def test_detections_are_stored(scenes: Scenes, trained: Detector) -> None:
    """Stored detections come back, and take the place of the detector's earlier ones only."""
    images = detection_set(scenes.store, scenes.samples("test"))
    found = detect(scenes.store, trained, images)
    for name in ("one", "other", "one"):
        n = store_detections(scenes.store, name, images, classes=trained.classes, detections=found)
    assert n == sum(len(f.image) for f in found)
    rows = scenes.store.sql("SELECT detector, count(*) AS n FROM detections GROUP BY ALL")
    counts = {row["detector"]: row["n"] for row in rows.rows()}
    assert (counts["one"], counts["other"]) == (n, n)
    back = read_detections(scenes.store, "one", images, classes=trained.classes)
    for one, two in zip(back, found, strict=True):
        assert one.image.tolist() == two.image.tolist()
        np.testing.assert_array_equal(one.boxes, two.boxes)
        np.testing.assert_array_equal(one.scores, two.scores)
    fewer = [dataclasses.replace(f, image=f.image[:0], boxes=f.boxes[:0], scores=f.scores[:0])
             for f in found]  # fmt: skip
    assert (
        store_detections(scenes.store, "one", images, classes=trained.classes, detections=fewer)
        == 0
    )
    assert not any(
        len(f.image) for f in read_detections(scenes.store, "one", images, classes=("a",))
    )


def test_images_without_objects_are_tested_on(scenes: Scenes, trained: Detector) -> None:
    """All searched images of the part count, also those that show nothing."""
    evaluated = evaluate_detector(scenes.store, trained, scenes.samples("test"), keep=Keep())
    images = scenes.images_of("test")
    assert evaluated.evaluation.n_images == len(images)
    assert set(images) - set(scenes.gt_image)  # some show nothing
    shown = scenes.gt_label[np.isin(scenes.gt_image, images) & ~scenes.gt_difficult]
    assert [c.n_objects for c in evaluated.evaluation.classes] == np.bincount(shown).tolist()
    assert (evaluated.evaluation.map_11 or 0) > 0.9  # the features say what is where


def test_images_that_were_not_searched(tmp_path: Path) -> None:
    """Images without proposals are left out and counted; without the view it is an error."""
    other = make_scenes(tmp_path / "s", n_images=24)
    images = detection_set(other.store, other.samples("test"))
    everything = detection_set(other.store, other.samples("test"), searched=False)
    assert (images.unsearched, images.images) == (0, everything.images)
    rows = other.store.rows("samples", dataset="d", view="proposal")
    names = ["i002" if name == "i001" else name for name in rows["image_id"].to_pylist()]
    rows = rows.set_column(rows.column_names.index("image_id"), "image_id", pa.array(names))
    replace_rows(other.store.place, "samples", rows, dataset="d", view="proposal")
    fewer = detection_set(other.store, other.samples("test"))
    assert fewer.unsearched == 1
    assert len(fewer.images) == len(images.images) - 1
    assert ("d", "i001") not in fewer.images


def test_a_missing_image(tmp_path: Path) -> None:
    """Boxes of an image that could not be read are passed over; others that lack are an error."""
    other = make_scenes(tmp_path / "s", n_images=24)
    store, where = other.store, other.where("proposal")
    found = train_detector(store, other.samples("train", "val"), CONV)
    store.drop(dataset="d", view="proposal", layer="conv")
    bad = np.flatnonzero(other.image == 1)
    kept = np.flatnonzero(other.image != 1)
    put(store, where, other.values[kept], sample_ids=kept.tolist())
    with pytest.raises(UnknownNameError, match=r"lacks activations of .*fstore extract"):
        evaluate_detector(store, found, other.samples("test"), keep=Keep())
    _quarantine(store, bad)
    evaluated = evaluate_detector(store, found, other.samples("test"), keep=Keep())
    assert evaluated.evaluation.n_images == len(other.images_of("test"))
    assert not any((c.image == 0).any() for c in evaluated.evaluation.classes)
    objects = sum(c.n_objects_of_image[0] for c in evaluated.evaluation.classes)
    assert objects == (~other.gt_difficult[other.gt_image == 1]).sum() > 0  # they are missed


def _quarantine(store: Store, ids: NDArray[np.intp]) -> None:
    bad = [
        {"dataset": "d", "view": "proposal", "sample_id": int(i), "uri": "1.png", "reason": "x"}
        for i in ids
    ]
    store.append("unreadable", bad)


def test_what_is_not_there(scenes: Scenes) -> None:
    """Unknown parts, classes and layers are named, with what there is."""
    store = scenes.store
    with pytest.raises(UnknownNameError, match="no class 'dog'; there are: a, b, c, unseen"):
        train_detector(store, scenes.samples("train"), CONV, name="n", classes=["dog"])
    with pytest.raises(DataError, match="none of 1 classes has a box"):
        train_detector(store, scenes.samples("train"), CONV, name="n", classes=["unseen"])
    with pytest.raises(UnknownNameError, match="no part 'official:none'"):
        detection_set(store, scenes.samples("none"))
    with pytest.raises(UnknownNameError, match=r"no activations of net/5 d\.proposal fc"):
        train_detector(store, scenes.samples("train"), Features("net", "5", "fc"))


def test_parts_that_a_data_set_lacks(scenes: Scenes) -> None:
    """Of several parts those that are there are taken; one that is not is kept for the error."""

    def parts(*wanted: str) -> list[Samples]:
        return set_parts(scenes.store, ["d", "d"], split=Split(), wanted=wanted)

    assert parts("train", "val") == scenes.samples("train", "val")
    assert parts("test", "none") == scenes.samples("test")
    assert parts("none") == [Samples("d", "image", "official", 0, "none")]


def test_mined_is_plain() -> None:
    """What a class's training says of itself is what a record can hold."""
    X, _ = problem(0, n=300, positives=20)
    negative = np.ones((280, 1), dtype=bool)
    (found,) = mine([X[:20]], lambda: stream(X[20:], negative, per_image=40, per_block=90))
    assert isinstance(found, Mined)
    kinds = {f.name: type(getattr(found, f.name)) for f in dataclasses.fields(found)}
    assert {kinds[name] for name in ("positives", "negatives", "added", "cached")} == {int}
    assert {kinds[name] for name in ("objective", "dual", "b")} == {float}
