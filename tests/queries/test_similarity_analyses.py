"""The analyses of two checkpoints: what the arrays say, from a store; and what is refused."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.stats import pearsonr, spearmanr

from _build import add_checkpoint, add_layers, put, relu
from fstore.errors import DataError, UnknownNameError
from fstore.queries.analyses import ask
from fstore.queries.figures.similarity import plot_cka, plot_filter_change, plot_rsa
from fstore.queries.samples.asked_two import AskedTwo
from fstore.store import Store
from fstore.store.files import Partition

if TYPE_CHECKING:
    from conftest import Known

WHERE: dict[str, Any] = {"ckpt": "5", "other": "005", "dataset": "d"}
LAYERS = ("conv1", "fire2/concat", "fc7")


def features(known: "Known", ckpt: str, layer: str, *, whole: bool = False) -> Any:  # noqa: ANN401
    """Return a layer's responses as a matrix in float64: whole maps, or the largest of each."""
    x = known.values[ckpt, layer].astype(np.float64)
    return x.reshape(len(x), -1) if whole else x.max(axis=2)


def by_hand(X: Any, Y: Any) -> float:  # noqa: ANN401
    """Return linear CKA by the covariances of centred features."""
    X, Y = X - X.mean(axis=0), Y - Y.mean(axis=0)
    top = np.linalg.norm(Y.T @ X) ** 2
    return float(top / (np.linalg.norm(X.T @ X) * np.linalg.norm(Y.T @ Y)))


@pytest.mark.parametrize("ablation", ["sp_max", "none"])
def test_cka_of_a_store(known: "Known", ablation: str) -> None:
    """Each pair of layers has the CKA of its arrays: largest responses, or whole maps."""
    rows = ask(known.store, "cka", **WHERE, ablation=ablation)
    whole = ablation == "none"
    assert [(r["layer"], r["other_layer"]) for r in rows] == [
        (a, b) for a in LAYERS for b in LAYERS
    ]
    for row in rows:
        X = features(known, "5", row["layer"], whole=whole)
        Y = features(known, "005", row["other_layer"], whole=whole)
        assert row["cka"] == pytest.approx(by_hand(X, Y), rel=1e-6)  # float32 on disk
        assert (row["n"], row["ckpt"]) == (12, "torchvision:x/5")


def test_cka_of_a_checkpoint_with_itself(known: "Known") -> None:
    """Without another checkpoint a layer is 1 like itself, and the matrix is symmetric."""
    rows = ask(known.store, "cka", ckpt="5", dataset="d")
    cells = {(r["layer"], r["other_layer"]): r["cka"] for r in rows}
    assert all(cells[a, a] == pytest.approx(1) for a in LAYERS)
    assert all(cells[a, b] == pytest.approx(cells[b, a]) for a in LAYERS for b in LAYERS)
    assert {r["other_ckpt"] for r in rows} == {"torchvision:x/5"}


def test_rsa_of_a_store(known: "Known") -> None:
    """Each pair has SciPy's rank correlation of SciPy's distances, samples without pattern out."""
    rows = ask(known.store, "rsa", **WHERE)
    arrays = {(c, x): features(known, c, x) for c in ("5", "005") for x in LAYERS}
    told = np.all([np.ptp(X, axis=1) > 0 for X in arrays.values()], axis=0)
    for row in rows:
        a, b = (
            pdist(arrays[ckpt, row[layer]][told], "correlation")
            for ckpt, layer in (("5", "layer"), ("005", "other_layer"))
        )
        assert row["rho"] == pytest.approx(spearmanr(a, b).statistic, abs=1e-6)
        assert (row["n"], row["left_out"]) == (told.sum(), (~told).sum())


def test_filters_that_changed(known: "Known") -> None:
    """They are ranked by 1 - r; the one that never fires is last and said so."""
    rows = ask(known.store, "filter-change", **WHERE, layer="fire2/concat")
    X, Y = (features(known, ckpt, "fire2/concat") for ckpt in ("5", "005"))
    change = [1 - np.corrcoef(X[:, c], Y[:, c])[0, 1] for c in range(4)]
    assert [r["channel"] for r in rows] == [*np.argsort(-np.array(change)), 4]
    assert [r["change"] for r in rows[:4]] == pytest.approx(sorted(change, reverse=True))
    assert (rows[4]["change"], rows[4]["constant_in"]) == (None, "both")
    maps = ask(known.store, "filter-change", **WHERE, layer="fire2/concat", ablation="none")
    whole = [known.values[ckpt, "fire2/concat"][:, maps[0]["channel"]] for ckpt in ("5", "005")]
    assert maps[0]["change"] == pytest.approx(1 - pearsonr(*map(np.ravel, whole))[0])


def test_a_part_and_a_draw(known: "Known") -> None:
    """A part is compared alone; a draw is of its size, the same for a seed, another for others."""
    asked = AskedTwo(**WHERE, part="test")
    both = [*asked.both(known.store)[0], *asked.both(known.store)[1]]
    parts = known.store.splits("d", "image").to_pylist()
    wanted = sorted(r["sample_id"] for r in parts if r["part"] == "test")
    assert asked.ids(known.store, both).tolist() == wanted
    assert {r["n"] for r in ask(known.store, "cka", **WHERE, part="test")} == {len(wanted)}
    draws = [
        tuple(AskedTwo(**WHERE, samples=5, draw=draw).ids(known.store, both))
        for draw in (0, 0, 1, 2)
    ]
    assert draws[0] == draws[1]
    assert len(set(draws)) > 1
    assert {len(set(draw)) for draw in draws} == {5}


def test_samples_in_common(tmp_path: Path) -> None:
    """Checkpoints that saw different samples are compared on those in common; none is refused."""
    store = Store.create(tmp_path / "s")
    from _build import add_dataset

    add_dataset(store)
    add_layers(store, "net", {"conv": (4, 2, 2)})
    add_layers(store, "wide", {"fc": (9, 1, 1)})
    for network, ckpt, layer, ids in (
        ("net", "a", "conv", range(5)), ("net", "b", "conv", range(1, 6)),
        ("net", "c", "conv", range(3)), ("wide", "w", "fc", range(2, 6)),
    ):  # fmt: skip
        shape = (len(ids), 9, 1) if layer == "fc" else (len(ids), 4, 4)
        add_checkpoint(store, network, ckpt)
        put(
            store, Partition(network, ckpt, "d", "image", layer), relu(3, *shape), sample_ids=[*ids]
        )
    (row,) = ask(store, "cka", ckpt="a", other="wide/w", dataset="d")
    assert (row["n"], row["other_ckpt"], row["other_layer"]) == (3, "wide/w", "fc")
    with pytest.raises(DataError, match="hold 2 samples in common"):
        ask(store, "cka", ckpt="b", other="c", dataset="d")
    filters: dict[str, Any] = {"ckpt": "a", "other": "w", "dataset": "d"}
    with pytest.raises(DataError, match="different networks: filter 3 of one is not"):
        ask(store, "filter-change", **filters, layer="conv")


def test_what_is_refused(known: "Known") -> None:
    """Unknown layers, checkpoints and parts are named with those there are; so are odd numbers."""
    with pytest.raises(UnknownNameError, match=r"'conv9'.*fstore extract --layer conv9"):
        ask(known.store, "cka", **WHERE, layer=("conv9",))
    with pytest.raises(UnknownNameError, match="torchvision:x/5"):
        ask(known.store, "cka", ckpt="7", dataset="d")
    with pytest.raises(UnknownNameError, match="no part"):
        ask(known.store, "rsa", **WHERE, part="tset")
    with pytest.raises(DataError, match="at least 3, got 2"):
        ask(known.store, "rsa", **WHERE, samples=2)
    with pytest.raises(DataError, match="named twice"):
        ask(known.store, "filter-change", **{**WHERE, "other": "5"}, layer="fc7")


def test_charts_say_n_and_both_checkpoints(known: "Known") -> None:
    """The matrices name a checkpoint a side; n and the estimator stand in the chart."""
    drawn = plot_cka(ask(known.store, "cka", **WHERE), title="T").to_dict()
    told = " ".join(drawn["title"]["subtitle"])
    assert "biased" in told
    assert "n = 12 samples" in told
    text = str(drawn)
    assert "Layer of torchvision:x/5" in text
    assert "Layer of torchvision:x/005" in text
    fewer = [{**r, "left_out": 2} for r in ask(known.store, "rsa", **WHERE)]
    assert "2 samples without a pattern" in " ".join(plot_rsa(fewer).to_dict()["title"]["subtitle"])
    rows = ask(known.store, "filter-change", **WHERE, layer="fire2/concat")
    told = " ".join(plot_filter_change(rows).to_dict()["title"]["subtitle"])
    assert "1 of 5 filters respond alike" in told
