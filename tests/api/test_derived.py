"""Layers that a function of the user's makes from stored responses, against NumPy by hand."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import fstore
from _build import add_checkpoint, add_dataset, add_layers, put, relu
from _cli import run
from fstore.api.store import Store
from fstore.errors import DataError, IdentityError, UnknownNameError
from fstore.store.files import Partition
from fstore.store.runs import listed_runs
from fstore.workflows.extract.recheck import recheck
from fstore.workflows.extract.run import extract

N, FILES = 12, (range(6), range(6, 10), range(10, 12))
CONV, FC = (3, 2, 2), (4, 1, 1)
WEIGHTS = np.random.default_rng(5).normal(size=(4, 9)).astype(np.float32)
"""Of an encoder of fc: 4 channels to 9 latents."""

Tensor = torch.Tensor


def source(layer: str) -> Partition:
    """Return where the stored responses of a layer are."""
    return Partition("net", "c", "d", "image", layer)


@pytest.fixture(scope="module")
def values() -> dict[str, NDArray[np.float32]]:
    """Return the stored responses: (samples, channels, positions), all of them exact in TF32."""
    eighths = np.float32(8)
    conv, fc = relu(1, N, 3, 4), relu(2, N, 4, 1)
    return {"conv": np.rint(conv * eighths) / eighths, "fc": np.rint(fc * eighths) / eighths}


@pytest.fixture(scope="module")
def filled(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, NDArray[np.float32]]
) -> Path:
    """Return the folder of a store of two layers in three files each."""
    store = fstore.create(tmp_path_factory.mktemp("filled") / "store")
    add_dataset(store, parts=["train", "val", "test"] * 4)
    add_layers(store, "net", {"conv": CONV, "fc": FC})
    add_checkpoint(store, "net", "c")
    for layer in ("conv", "fc"):
        for ids in FILES:
            put(store, source(layer), values[layer][ids], sample_ids=list(ids))
    return store.path


@pytest.fixture
def store(filled: Path, tmp_path: Path) -> Store:
    """Return a store of its own for each test."""
    return fstore.open(shutil.copytree(filled, tmp_path / "store"))


def encode(x: Tensor) -> Tensor:
    """Return rectified projections."""
    return torch.relu(x @ torch.from_numpy(WEIGHTS) - 0.5)


def derive(store: Store, function: Callable[[Any], Any] = encode, **options: Any) -> Any:  # noqa: ANN401
    """Derive ``sae/fc`` from ``fc``."""
    given = {"name": "sae/fc", "precision": "float32", "weights": {"w": WEIGHTS}, **options}
    return store.add_layer_from("fc", "c", "d", function=function, **given)


# what is stored


def test_vectors_are_what_the_function_gives(
    store: Store, values: dict[str, NDArray[np.float32]]
) -> None:
    """The derived layer's features are the projections that NumPy computes, sample by sample."""
    done = derive(store, batch_size=5)
    expected = np.maximum(values["fc"][:, :, 0] @ WEIGHTS - 0.5, 0)
    features = store.features("sae/fc", "c", "d")
    np.testing.assert_allclose(features.X, expected, atol=1e-6)
    assert (done.shape, done.samples, done.present, done.non_finite) == ((9,), N, 0, 0)
    loaded = next(iter(store.loader("sae/fc", "c", "d", shuffle=False)))
    np.testing.assert_array_equal(loaded["X"].numpy(), features.X)


def test_maps_have_right_summaries(store: Store, values: dict[str, NDArray[np.float32]]) -> None:
    """Of maps the sums, counts and largest are those of the values, negative ones included.

    Here each latent is a difference of two channels, at a map of half the height.
    """

    def differences(x: Tensor) -> Tensor:
        assert x.shape[1:] == CONV
        return (x - x.roll(1, dims=1))[:, :, :1]

    store.add_layer_from("conv", "c", "d", name="diff", function=differences, version="roll")
    maps = values["conv"].reshape(N, *CONV)
    expected = (maps - np.roll(maps, 1, axis=1))[:, :, :1].reshape(N, 3, 2)
    columns = "sample_id, channel, act_max, act_sum, nnz, npos, argmax, map"
    rows = store.sql(f"SELECT {columns} FROM activations WHERE layer = 'diff'").arrow().to_pylist()
    assert len(rows) == N * 3
    for row in rows:
        x = expected[row["sample_id"], row["channel"]]
        assert (row["act_max"], row["argmax"]) == (x.max(), x.argmax())
        assert (row["nnz"], row["npos"]) == ((x != 0).sum(), (x > 0).sum())
        assert row["act_sum"] == pytest.approx(x.sum(), abs=1e-6)
        assert row["map"] == x.tolist()
    (layer,) = store.rows("layers", network="net", layer="diff").to_pylist()
    assert (layer["channels"], layer["height"], layer["width"], layer["kind"]) == (3, 1, 2, "conv")


def test_each_file_has_its_own(store: Store) -> None:
    """Derived files hold the samples that those of the source hold."""
    derive(store)
    held = {(f.first_sample, f.last_sample) for f in store.files(layer="sae/fc")}
    assert held == {(ids[0], ids[-1]) for ids in FILES}


def test_sparse_latents_take_little_room(store: Store) -> None:
    """A layer of which 1 value in 64 is not 0 takes less than a twentieth of plain float32."""

    def top(x: Tensor) -> Tensor:
        out = torch.zeros(len(x), 4096)
        place = (x * 8).long().remainder(64)
        return out.scatter(1, place + 64 * torch.arange(4), x + 1)

    add_dataset(store, "big", parts=["train"] * 512)
    put(store, Partition("net", "c", "big", "image", "fc"), relu(3, 512, 4, 1))
    done = store.add_layer_from("fc", "c", "big", name="top", function=top, version="1")
    assert done.bytes < done.raw_bytes / 20
    share = store.sql("SELECT avg((act_max <> 0)::INT) FROM activations WHERE layer = 'top'")
    assert share.arrow().column(0).to_pylist() == [4 / 4096]


def test_arrays_and_precision(store: Store, values: dict[str, NDArray[np.float32]]) -> None:
    """The function may take and return arrays; values are rounded as asked for."""

    def thirds(x: NDArray[np.float32]) -> NDArray[np.float64]:
        assert isinstance(x, np.ndarray)
        return x.astype(np.float64) / 3

    derive(store, thirds, arrays=True, precision="bfloat16")
    X = torch.from_numpy(values["fc"][:, :, 0] / 3).to(torch.bfloat16).float().numpy()
    np.testing.assert_array_equal(store.features("sae/fc", "c", "d").X, X)


def test_what_a_function_does_to_its_input_stays_there(store: Store) -> None:
    """A function that works in place changes nothing but its own copy."""

    def in_place(x: Tensor) -> Tensor:
        return x.mul_(2)

    derive(store, in_place)
    X = store.features("fc", "c", "d").X
    np.testing.assert_array_equal(store.features("sae/fc", "c", "d").X, 2 * X)


# again, and for more


def test_what_is_there_is_not_done_again(store: Store) -> None:
    """A second call adds nothing; samples that came later are added."""
    derive(store)
    again = derive(store)
    assert (again.samples, again.present) == (0, N)
    add_dataset(store, "e", parts=["train"] * 4)
    more = Partition("net", "c", "e", "image", "fc")
    for ids in ([0, 1], [2, 3]):
        put(store, more, relu(sum(ids), 2, 4, 1), sample_ids=ids)
        done = store.add_layer_from(
            "fc", "c", "e", name="sae/fc", function=encode, weights={"w": WEIGHTS}
        )
        assert (done.samples, done.present) == (2, ids[0])


def test_a_stopped_run_goes_on(store: Store) -> None:
    """Files that were committed before a function failed are not gone through again."""
    seen: list[int] = []

    def failing(x: Tensor) -> Tensor:
        seen.append(len(x))
        if len(x) == 4:  # the second file
            raise RuntimeError("out of paper")
        return encode(x)

    with pytest.raises(RuntimeError, match="out of paper"):
        derive(store, failing)
    assert [len(f.sample_ids) for f in store.files(layer="sae/fc")] == [6]
    assert listed_runs(store, "derive")[0]["exit"] == "failed"
    done = derive(store)
    assert (done.samples, done.present) == (6, 6)
    whole = derive(store, name="whole")
    assert whole.samples == N
    np.testing.assert_array_equal(
        store.features("sae/fc", "c", "d").X, store.features("whole", "c", "d").X
    )


def test_another_function_is_refused_under_the_name(store: Store) -> None:
    """Other weights, or another version, do not mix with what is stored; the error says how to go.

    Having dropped what is stored, with the command that the error has, the new one is stored.
    """
    derive(store)
    drop = r"function weights .*fstore .*drop .*--layer sae/fc"
    with pytest.raises(IdentityError, match=drop):
        derive(store, weights={"w": WEIGHTS + 1})
    with pytest.raises(IdentityError, match="function version"):
        derive(store, version="2")
    store.drop(network="net", ckpt="c", dataset="d", view="image", layer="sae/fc")
    assert derive(store, weights={"w": WEIGHTS + 1}).samples == N


def test_another_shape_is_refused_until_the_layer_is_dropped(store: Store) -> None:
    """A layer's shape is one for all checkpoints; dropping it from its network frees the name."""
    derive(store)
    with pytest.raises(IdentityError, match=r"9 x 1 x 1.*fstore .*drop --network net --layer"):
        derive(store, lambda x: x[:, :2], version="two")
    store.drop(network="net", layer="sae/fc")
    assert not store.rows("layers", layer="sae/fc").num_rows
    assert derive(store, lambda x: x[:, :2], version="two").shape == (2,)


def test_a_layer_of_the_network_keeps_its_name(store: Store) -> None:
    """Nothing is derived under the name of a layer that the network has; its record stays."""
    with pytest.raises(IdentityError, match="is a layer of network 'net' itself"):
        derive(store, name="conv")
    store.drop(network="net", layer="conv")
    assert store.rows("layers", network="net", layer="conv").num_rows == 1


def test_weights_count_by_their_content(store: Store) -> None:
    """Weights are the same in another order, or as arrays; of another type they are not."""
    w = torch.from_numpy(WEIGHTS)
    derive(store, weights={"a": w, "b": torch.tensor(1)})
    assert derive(store, weights={"b": np.array(1), "a": WEIGHTS}).present == N
    for other in ({"a": w.bfloat16(), "b": torch.tensor(1)}, {"a": w.T, "b": torch.tensor(1)}):
        with pytest.raises(IdentityError, match="function weights"):
            derive(store, weights=other)


# what is refused


def test_the_function_must_be_named(store: Store) -> None:
    """Without weights and version nothing tells one function from another: both are asked for."""
    with pytest.raises(DataError, match=r"weights=model.state_dict\(\).*version="):
        derive(store, weights=None)


def drop_out(x: Tensor) -> Tensor:
    """Return other values each time."""
    return torch.nn.functional.dropout(x + 1)


def centred(x: Tensor) -> Tensor:
    """Return values that depend on the batch."""
    return x - x.mean(0)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (drop_out, "called again"),
        (centred, "given each sample alone"),
        (lambda x: x[0], r"returned shape \(4,\) for 3 samples"),
        (lambda x: x[:, :, None], "expected"),
        (lambda x: x.tolist(), "returned list"),
        (lambda x: x[:, : len(x)], "for a sample alone"),
    ],
)
def test_functions_that_are_none_of_a_sample_are_refused(
    store: Store, function: Callable[[Tensor], Any], message: str
) -> None:
    """Nothing is stored of what depends on other samples, on chance, or has another form."""
    with pytest.raises(DataError, match=message):
        derive(store, function)
    assert not store.files(layer="sae/fc")
    assert not store.rows("layers", layer="sae/fc").num_rows


@pytest.mark.parametrize("name", ["all", "a,b", "sae/*", ""])
def test_names_that_cannot_be_asked_for_are_refused(store: Store, name: str) -> None:
    """A layer's name must be one that options and globs take for itself."""
    with pytest.raises(DataError, match="layer"):
        derive(store, name=name)


# the rest of the program


def test_extract_says_that_it_cannot_compute_it(store: Store) -> None:
    """Asked for a derived layer, extract says who made it and how it is made again."""
    derive(store)
    for layers, start in ((["sae/fc"], None), (["fc,sae/fc"], None), (["fc"], "sae/fc")):
        with pytest.raises(UnknownNameError, match=r"no layer 'sae/fc'.*add_layer_from"):
            extract(store, layers=layers, ckpts=["c"], datasets=["d"], from_stored=start)


def test_verify_does_not_compute_it_again(store: Store) -> None:
    """Verify says of a derived layer why it is not recomputed; its files are found to be whole."""
    derive(store)
    told = {p.layer: reason for p, _, reason in recheck(store, layer="sae/fc")}
    assert told == {"sae/fc": "derived from 'fc' by a function of yours"}
    assert not [row for row in store.verify() if row["layer"] == "sae/fc"]


def test_what_lacks_says_how_to_derive_it(store: Store) -> None:
    """Where a derived layer lacks samples, the error names the function, not an extraction."""
    derive(store)
    add_dataset(store, "e", parts=["train"] * 4)
    with pytest.raises(UnknownNameError, match=r'add_layer_from\("fc", name="sae/fc"') as error:
        store.features("sae/fc", "c", "e")
    assert "fstore extract" not in str(error.value)


def test_commands_read_it(store: Store) -> None:
    """Status lists it, export writes it, drop removes it and gc has nothing left to do."""
    derive(store)
    assert "sae/fc" in run(store, "status").stdout
    out = store.path.parent / "x.npy"
    run(store, "export", "--layer", "sae/fc", "--ckpt", "c", "--dataset", "d", str(out))
    np.testing.assert_array_equal(np.load(out), store.features("sae/fc", "c", "d").X)
    run(store, "drop", "--layer", "sae/fc", "--yes")
    assert not store.files(layer="sae/fc")
    assert store.gc(older_than_hours=0) == []


def test_dependence_on_others_is_seen_behind_a_file_of_one_sample(tmp_path: Path) -> None:
    """A function of the whole batch is refused though the first file holds one sample only."""
    store = fstore.create(tmp_path / "store")
    add_dataset(store, parts=["train", "val", "test"] * 4)
    add_layers(store, "net", {"fc": FC})
    add_checkpoint(store, "net", "c")
    values = relu(2, N, 4, 1)
    for ids in (range(1), range(1, N)):
        put(store, source("fc"), values[ids], sample_ids=list(ids))
    with pytest.raises(DataError, match="given each sample alone"):
        store.add_layer_from(
            "fc", "c", "d", name="z", function=lambda x: x - x.mean(0), version="1", quiet=True
        )


def test_complex_numbers_are_refused(store: Store) -> None:
    """A complex tensor is refused: its imaginary part would be lost."""
    with pytest.raises(DataError, match="real numbers"):
        store.add_layer_from(
            "fc", "c", "d", name="z", function=torch.fft.fft, version="1", quiet=True
        )
