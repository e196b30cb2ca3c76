"""What all readers share: splits, facts of files, checks of manifests."""

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fstore.errors import DataError
from fstore.extractor.datasets import FORMATS
from fstore.extractor.datasets._files import check_manifest, digest_file, file_facts
from fstore.extractor.datasets._splits import random_splits, stratified_parts
from fstore.extractor.images import digest_bytes
from fstore.types import DatasetManifest, SampleRecord, ViewManifest

sizes = st.dictionaries(st.sampled_from("abcd"), st.integers(1, 40), min_size=1)
shares = st.tuples(st.integers(0, 10), st.integers(0, 10), st.integers(1, 10)).map(
    lambda x: (x[0] / sum(x), x[1] / sum(x), x[2] / sum(x))
)


def classes_of(counts: dict[str, int]) -> tuple[list[str], list[dict[str, int]]]:
    """Return ids and labels of so many samples of each class."""
    ids = [f"{name}/{i}" for name, n in counts.items() for i in range(n)]
    return ids, [{i.split("/")[0]: 1} for i in ids]


@settings(deadline=None, max_examples=60)
@given(counts=sizes, fractions=shares, seed=st.integers(0, 2**40))
def test_every_class_is_dealt_in_proportion(
    counts: dict[str, int], fractions: tuple[float, float, float], seed: int
) -> None:
    """In each class every part is within one sample of its share, and each sample has a part."""
    ids, labels = classes_of(counts)
    parts = stratified_parts(ids, labels, seed=seed, fractions=fractions)
    dealt = Counter(f"{i.split('/')[0]} {part}" for i, part in zip(ids, parts, strict=True))
    for name, n in counts.items():
        for part, share in zip(("train", "val", "test"), fractions, strict=True):
            assert abs(dealt[f"{name} {part}"] - share * n) <= 1


@settings(deadline=None, max_examples=60)
@given(counts=sizes, seed=st.integers(0, 100), order=st.randoms())
def test_a_deal_depends_on_names_and_seed_alone(
    counts: dict[str, int], seed: int, order: object
) -> None:
    """Shuffling the samples changes no sample's part."""
    ids, labels = classes_of(counts)
    parts = dict(zip(ids, stratified_parts(ids, labels, seed=seed), strict=True))
    pairs = list(zip(ids, labels, strict=True))
    order.shuffle(pairs)  # type: ignore[attr-defined]
    shuffled = stratified_parts([i for i, _ in pairs], [x for _, x in pairs], seed=seed)
    assert dict(zip([i for i, _ in pairs], shuffled, strict=True)) == parts


def test_seeds_deal_differently() -> None:
    """Two seeds agree on about the chance share of samples: 0.25 + 0.01 + 0.16."""
    ids, labels = classes_of({"a": 2000})
    one, two = (stratified_parts(ids, labels, seed=s) for s in (0, 1))
    agree = sum(x == y for x, y in zip(one, two, strict=True)) / len(ids)
    assert agree == pytest.approx(0.42, abs=0.05)  # 4.5 standard errors


def test_samples_of_several_classes_count_for_the_rarest() -> None:
    """The rare class is dealt in proportion, although each of its samples shows a common one."""
    labels = [{"common": 1, "rare": 0} if i < 10 else {"common": 1} for i in range(100)]
    parts = stratified_parts([str(i) for i in range(100)], labels, seed=0)
    assert Counter(parts[:10]) == {"train": 5, "val": 1, "test": 4}


@pytest.mark.parametrize("fractions", [(0.5, 0.1, 0.3), (1.2, -0.2, 0.0), (0.5, 0.5)])
def test_fractions_must_be_shares(fractions: tuple[float, float, float]) -> None:
    """Shares that are negative, too few, or do not sum to 1 are refused."""
    with pytest.raises(DataError, match="sum to 1"):
        stratified_parts(["a"], [{}], seed=0, fractions=fractions)


def test_seeds_and_fractions_must_fit() -> None:
    """Fractions without a seed, and a seed given twice, are refused."""
    with pytest.raises(DataError, match="fractions without seeds"):
        random_splits([], (), (0.5, 0.1, 0.4))
    with pytest.raises(DataError, match=r"seeds \[1, 1\] repeat"):
        random_splits([], (1, 1), None)


def test_file_facts(tmp_path: Path) -> None:
    """An unreadable file has no digest, a broken one no size, a missing one is an error."""
    (tmp_path / "a.png").write_bytes(b"broken")
    (tmp_path / "b.png").mkdir()  # cannot be read as a file, even by root
    broken, folder = file_facts(tmp_path, ["a.png", "b.png"])
    assert (broken.digest, broken.width) == (digest_bytes(b"broken"), 0)
    assert broken.digest == digest_file(tmp_path / "a.png")
    assert (folder.digest, folder.height) == ("", 0)
    with pytest.raises(DataError, match=r"no image file .*c\.png"):
        file_facts(tmp_path, ["c.png"])


def manifest_of(*samples: SampleRecord, classes: tuple[str, ...] = ("a",)) -> DatasetManifest:
    """Return a data set of these whole images."""
    views = (ViewManifest("image", samples),)
    return DatasetManifest("d", "single", classes, Path("/d"), views)


def test_checks_of_a_manifest() -> None:
    """No image, a repeated id or file, and a class without images are refused."""
    one = SampleRecord("1", "1.png", "", 1, 1, {"a": 1})
    assert check_manifest(manifest_of(one)).classes == ("a",)
    for manifest, message in (
        (manifest_of(), "has no image"),
        (manifest_of(one, one), "lists the id '1' twice"),
        (manifest_of(one, SampleRecord("2", "1.png", "", 1, 1, {})), "the file '1.png' twice"),
        (manifest_of(one, classes=("a", "b")), "has no image of class 'b'"),
    ):
        with pytest.raises(DataError, match=message):
            check_manifest(manifest)


def test_every_format_is_registered_and_described() -> None:
    """The table holds the six formats; each has a summary line."""
    names = {"voc", "imagefolder", "csv", "coco", "digits", "digit-scenes"}
    assert names <= {entry.name for entry in FORMATS}
    assert {e.name for e in FORMATS if e.meta["generated"]} >= {"digits", "digit-scenes"}
    assert all(entry.summary.endswith(".") for entry in FORMATS)
