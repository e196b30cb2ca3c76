"""Affordable extractions: layers derived from stored ones, bits, and estimates beforehand."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typer.testing import CliRunner

from fstore import workflows
from fstore.cli import app
from fstore.errors import DataError, IdentityError, UnknownNameError
from fstore.queries.methods.gram import gram
from fstore.queries.samples.blocks import Rows
from fstore.store import Store
from fstore.store.features import read_features
from fstore.store.files import Partition
from fstore.workflows.extract.estimate import ESTIMATE_COLUMNS, estimate
from fstore.workflows.extract.run import ExtractionOptions, extract

N = 14
SMALL = ExtractionOptions(batch_size=4, shard_bytes=1 << 19, workers=2)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Give a store of fourteen images, and two checkpoints of the same random weights."""
    random = np.random.default_rng(3)
    (tmp_path / "images").mkdir()
    for i in range(N):
        small = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        small.resize((64, 64), Image.Resampling.BICUBIC).save(tmp_path / "images" / f"{i:02d}.png")
    store = Store.create(tmp_path / "store")
    workflows.add_dataset(store, "d", "imagefolder", root=tmp_path / "images")
    for name in ("one", "two"):
        workflows.init_checkpoint(store, network="caffenet-mini", name=name, seed=1)
    return store


def stored(store: Store, ckpt: str, layer: str) -> NDArray[np.float32]:
    """Return a layer's responses, shape (n_samples, n_values)."""
    where = Partition("caffenet-mini", ckpt, "d", "image", layer)
    blocks = [X for _, X in read_features(store, where, bits=True)]
    return np.concatenate(blocks, axis=1).reshape(N, -1)


def test_derived_layers_equal_a_direct_pass(store: Store) -> None:
    """From conv5 in full precision, fc6 and fc7 are those of a pass over the images."""
    exact = ExtractionOptions(precision="float32", batch_size=4, shard_bytes=1 << 19)
    layers = ["fc6", "fc7"]
    extract(store, layers=["conv5", *layers], ckpts=["one"], options=exact)
    extract(store, layers=["conv5"], ckpts=["two"], options=exact)
    summary = extract(store, layers=layers, ckpts=["two"], from_stored="conv5", options=exact)
    assert summary.samples == N
    for layer in layers:
        direct, derived = stored(store, "one", layer), stored(store, "two", layer)
        assert direct.max() > 0
        # the same sums of the same float32 numbers, perhaps in another order
        np.testing.assert_allclose(derived, direct, rtol=0, atol=1e-5 * float(direct.max()))


def test_derived_layers_err_by_the_stored_rounding(store: Store) -> None:
    """From conv5 rounded to 10 bits, fc6 errs by no more than that rounding allows."""
    extract(store, layers=["conv5", "fc6"], ckpts=["one"], options=SMALL)
    extract(store, layers=["conv5"], ckpts=["two"], options=SMALL)
    extract(store, layers=["fc6"], ckpts=["two"], from_stored="conv5", options=SMALL)
    network = workflows.load_network(store, store.find_checkpoint("one"))
    weights = network.model.get_parameter("fc6.weight").detach().numpy()
    direct, derived = stored(store, "one", "fc6"), stored(store, "two", "fc6")
    # each input is off by at most 2^-11 of itself, each stored result by 2^-11 of itself
    bound = 2**-11 * (np.abs(stored(store, "one", "conv5")) @ np.abs(weights).T + 2 * direct)
    assert (np.abs(derived - direct) <= bound * 1.01 + 1e-6).all()
    assert not np.array_equal(derived, direct)


def test_the_identity_says_that_it_is_derived(store: Store) -> None:
    """A derived layer and a direct one never share a partition, in either order."""
    extract(store, layers=["conv5"], ckpts=["one"], options=SMALL)
    extract(store, layers=["fc6"], ckpts=["one"], from_stored="conv5", options=SMALL)
    with pytest.raises(IdentityError, match=r"differs in: derived from \(stored conv5"):
        extract(store, layers=["fc6"], ckpts=["one"], options=SMALL)
    extract(store, layers=["fc7"], ckpts=["one"], options=SMALL)
    with pytest.raises(IdentityError, match="derived from"):
        extract(store, layers=["fc7"], ckpts=["one"], from_stored="conv5", options=SMALL)
    again = extract(store, layers=["fc6"], ckpts=["one"], from_stored="conv5", options=SMALL)
    assert (again.samples, again.present) == (0, N)


def test_what_cannot_be_derived(store: Store) -> None:
    """A start that is not stored, comes later, or is the layer itself is refused by name."""
    with pytest.raises(UnknownNameError, match="fstore extract --layer conv5 --ckpt"):
        extract(store, layers=["fc6"], ckpts=["one"], from_stored="conv5", options=SMALL)
    extract(store, layers=["conv5"], ckpts=["one"], options=SMALL)
    with pytest.raises(DataError, match="does not follow from"):
        extract(store, layers=["conv3"], ckpts=["one"], from_stored="conv5", options=SMALL)
    with pytest.raises(DataError, match="'conv5' is stored already"):
        extract(store, layers=["conv5"], ckpts=["one"], from_stored="conv5", options=SMALL)


def test_bits_are_binarized_responses(store: Store) -> None:
    """Stored as bits, binarized features give the same inner products; others are refused."""
    extract(store, layers=["conv5"], ckpts=["one"], options=SMALL)
    bits = ExtractionOptions(precision="bit", batch_size=4, shard_bytes=1 << 19)
    extract(store, layers=["conv5"], ckpts=["two"], options=bits)
    values = stored(store, "one", "conv5")
    assert np.array_equal(stored(store, "two", "conv5"), (values > 0).astype(np.float32))
    full = gram(store, [rows_of("one")], ablation="binarize")
    assert np.array_equal(gram(store, [rows_of("two")], ablation="binarize").kernel, full.kernel)
    for ablation in ("none", "sp_max", "sp_shuffle", "binarize=0.5"):
        with pytest.raises(DataError, match="is stored as bits"):
            gram(store, [rows_of("two")], ablation=ablation)
    with pytest.raises(DataError, match="is stored as bits"):
        extract(store, layers=["fc6"], ckpts=["two"], from_stored="conv5", options=SMALL)


def rows_of(ckpt: str) -> Rows:
    """Return all samples of a checkpoint's conv5."""
    return Rows(Partition("caffenet-mini", ckpt, "d", "image", "conv5"), np.arange(N))


def test_an_estimate_counts_what_is_missing_and_writes_nothing(store: Store) -> None:
    """Samples and raw bytes are exact, bytes those of the run that follows; the store is as is."""
    extract(store, layers=["conv5"], ckpts=["one"], options=SMALL)
    versions = {p: p.stat().st_mtime_ns for p in store.path.rglob("*") if p.is_file()}
    rows = estimate(store, layers=["conv5", "fc6"], ckpts=["one"], options=SMALL)
    assert {p: p.stat().st_mtime_ns for p in store.path.rglob("*") if p.is_file()} == versions
    by_layer = {row["layer"]: row for row in rows}
    assert list(by_layer) == ["conv5", "fc6", "(all)"]
    assert [by_layer[k]["samples"] for k in by_layer] == [0, N, N]
    assert [by_layer[k]["present"] for k in by_layer] == [N, 0, 0]
    assert by_layer["fc6"]["raw_bytes"] == N * 256 * 4
    assert by_layer["(all)"]["seconds"] > 0
    summary = extract(store, layers=["fc6"], ckpts=["one"], options=SMALL)
    # the estimate's file holds other samples, and a file of so few is to a good part its footer
    assert by_layer["fc6"]["bytes"] == pytest.approx(summary.bytes, rel=0.5)


def test_an_estimate_of_nothing(store: Store) -> None:
    """Where all is stored, nothing is to be done, and no time is told."""
    extract(store, layers=["fc7"], ckpts=["one"], options=SMALL)
    rows = estimate(store, layers=["fc7"], ckpts=["one"], options=SMALL)
    assert [(r["samples"], r["raw_bytes"], r.get("seconds")) for r in rows] == [(0, 0, None)] * 2


def test_the_command(store: Store) -> None:
    """``--estimate --json`` prints its rows and extracts nothing; ``--from-stored`` works."""
    words = ["--store", str(store.path), "--quiet", "extract", "--ckpt", "one", "--layer", "conv5"]
    shown = CliRunner().invoke(app, [*words, "--estimate", "--json"])
    told = json.loads(shown.stdout)
    assert list(told[0]) == list(ESTIMATE_COLUMNS)
    assert store.files() == []
    assert CliRunner().invoke(app, words).exit_code == 0
    words[-1] = "fc7"
    assert CliRunner().invoke(app, [*words, "--from-stored", "conv5"]).exit_code == 0
    assert {f.partition.layer for f in store.files()} == {"conv5", "fc7"}


def test_an_estimate_ends_soon(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """When its time is up it has measured one batch, and takes further checkpoints to be alike."""
    from fstore.workflows.extract import estimate as module

    monkeypatch.setattr(module, "SECONDS", 0.0)
    monkeypatch.setattr(module, "LARGEST", 2)
    rows = estimate(store, layers=["conv5"], ckpts=["one", "two"], options=SMALL)
    first, second = (row for row in rows if row["layer"] == "(all)")
    assert first["measured"] == second["measured"] == 2
    assert first["samples"] == second["samples"] > 2
    assert first["seconds"] == second["seconds"] > 0
