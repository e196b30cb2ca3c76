"""Files as people have them: taken rightly, chosen by the user, or refused in plain words."""

import argparse
import json
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torchvision.models import VisionTransformer

from fstore.errors import DataError
from fstore.extractor.networks import Beside, Network, build_network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.weights import choose_state, fit, load_weights, read_mean_image, read_states

FORBIDDEN = ("weights_only=False", "add_safe_globals", "weights_only` to `False", "trusted source")


def small(model: nn.Module | None = None, name: str = "own") -> Network:
    """Make a network of one convolution, or of the model given."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3)) if model is None else model
    return Network(name, model.eval(), Preprocess(size=8, resize=8), {})


def weights() -> dict[str, Tensor]:
    """Make weights that fit it."""
    generator = torch.Generator().manual_seed(0)
    return {"0.weight": torch.randn(4, 3, 3, 3, generator=generator), "0.bias": torch.zeros(4)}


def under(prefix: str) -> dict[str, Tensor]:
    """Put a prefix before the names."""
    return {prefix + name: tensor for name, tensor in weights().items()}


def saved(path: Path, value: object) -> Path:
    """Write a torch file."""
    torch.save(value, path)
    return path


TAKEN: dict[str, Callable[[], object]] = {
    "module": lambda: under("module."),
    "compiled": lambda: under("_orig_mod."),
    "lightning": lambda: {"state_dict": under("model."), "epoch": 1},
    "stacked": lambda: {"state_dict": under("model._orig_mod.module.")},
    "ema_only": lambda: {"model_ema": weights()},
    "namespace": lambda: {"model": weights(), "args": argparse.Namespace(lr=1, path=Path("/x"))},
    "numpy": lambda: {"state_dict": weights(), "best": np.float64(1), "n": np.int64(3)},
    "confusion": lambda: {"state_dict": weights(), "matrix": np.eye(3, dtype=np.float32)},
    "optimizer": lambda: {
        "model": weights(),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}, "param_groups": []},
        "rng_state": torch.get_rng_state(),
    },
    "deep": lambda: {"checkpoint": {"net": {"weights": weights()}}},
    "half": lambda: {n: t.half() for n, t in weights().items()},
    "double": lambda: {n: t.double() for n, t in weights().items()},
    "parameters": lambda: {n: nn.Parameter(t) for n, t in weights().items()},
    "ordered": lambda: OrderedDict(weights()),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_usual_wrappings_are_taken(kind: str, tmp_path: Path) -> None:
    """What training programs put around weights, and before their names, is seen through."""
    found = load_weights(saved(tmp_path / "A.PTH", TAKEN[kind]()), small())
    expected = {n: t.half().float() for n, t in weights().items()} if kind == "half" else weights()
    assert list(found) == list(expected)
    assert all(torch.equal(found[n], t) for n, t in expected.items())
    assert all(t.dtype == torch.float32 for t in found.values())


@pytest.mark.parametrize(
    "beside", [("state_dict", "state_dict_ema"), ("teacher", "student"), ("model", "model_ema")]
)
def test_two_sets_of_weights_are_a_question(beside: tuple[str, str], tmp_path: Path) -> None:
    """Averaged weights beside the last ones, a teacher beside a student: the user chooses."""
    first, second = beside
    halved = {n: t / 2 for n, t in under("module.").items()}
    path = saved(tmp_path / "a.pt", {first: weights(), second: halved, "epoch": 3})
    with pytest.raises(DataError, match=f"{first} .*{second} .*--key"):
        load_weights(path, small())
    assert torch.equal(load_weights(path, small(), key=first)["0.weight"], weights()["0.weight"])
    found = load_weights(path, small(), key=second)
    assert torch.equal(found["0.weight"], weights()["0.weight"] / 2)
    with pytest.raises(DataError, match=f"no state dict under 'x'; there are: {first}"):
        load_weights(path, small(), key="x")


def test_keys_may_be_nested(tmp_path: Path) -> None:
    """A state dict inside a mapping is chosen with a dot; the key taken alone is told."""
    other = {"x": torch.ones(1)}
    path = saved(tmp_path / "a.pt", {"a": {"b": weights(), "c": weights()}, "d": other})
    states = read_states(path)
    assert set(states) == {"a.b", "a.c", "d"}
    assert choose_state(states, small(), path, key="a.c")[0] == "a.c"
    alone = saved(tmp_path / "b.pt", {"a": {"b": weights()}, "d": other})
    assert choose_state(read_states(alone), small(), alone)[0] == "a.b"


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "net."])
def test_prefixes_are_dropped_from_all_or_none(prefix: str, tmp_path: Path) -> None:
    """A prefix of some of the network's names only is refused: what is meant is not known."""
    mixed = {**weights(), **under(prefix)}
    del mixed["0.bias"]
    with pytest.raises(DataError, match="unexpected"):
        load_weights(saved(tmp_path / "a.pt", mixed), small())


def test_a_child_named_like_a_prefix_keeps_its_name(tmp_path: Path) -> None:
    """Where the network itself has a child ``module`` or ``model``, nothing is dropped."""

    class Wrap(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.module = nn.Sequential(nn.Conv2d(3, 4, 3))

    network = small(Wrap())
    found = load_weights(saved(tmp_path / "a.pt", under("module.")), network)
    assert set(found) == {"module.0.weight", "module.0.bias"}
    twice = load_weights(saved(tmp_path / "b.pt", under("module.module.")), network)
    assert set(twice) == {"module.0.weight", "module.0.bias"}


KINDS: dict[str, Callable[[Tensor], Tensor]] = {
    "int8": lambda t: (40 * t).to(torch.int8),
    "uint8": lambda t: (40 * t).to(torch.uint8),
    "int32": lambda t: (40 * t).to(torch.int32),
    "bool": lambda t: t > 0,
    "complex64": lambda t: t * (1 + 1j),
    "float8_e4m3fn": lambda t: t.to(torch.float8_e4m3fn),
    "float8_e5m2": lambda t: t.to(torch.float8_e5m2),
    "sparse": lambda t: t.to_sparse(),
    "quantized": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
    "meta": lambda t: t.to("meta"),
    "claims": lambda _: torch.zeros(1).expand(1 << 40),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore:.*quantiz.*", "ignore:.*Quantiz.*", "ignore:.*Typed.*")
def test_other_kinds_of_numbers_are_refused(kind: str, tmp_path: Path) -> None:
    """Numbers whose scale would be a guess are refused with their kind, not taken as weights."""
    state = weights()
    state["0.weight"] = KINDS[kind](state["0.weight"])
    path = saved(tmp_path / "a.pt", state)
    with pytest.raises(DataError, match=r"0\.weight (holds|is|has)|holds objects|cannot read"):
        load_weights(path, small())


def test_whole_numbers_and_masks_keep_their_values() -> None:
    """Buffers of whole numbers and masks take whole numbers that fit, and nothing else."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    model.register_buffer("index", torch.arange(4, dtype=torch.int32))
    model.register_buffer("mask", torch.tensor([True, False]))
    network, state = small(model), dict(model.state_dict())
    state |= {"index": torch.tensor([4, 3, 2, 1]), "mask": torch.tensor([0, 1], dtype=torch.uint8)}
    del state["1.num_batches_tracked"]
    found = fit(state, network, source="x")
    assert found["index"].tolist() == [4, 3, 2, 1]
    assert found["mask"].tolist() == [False, True]
    assert found["1.num_batches_tracked"].item() == 0
    for name, value in (
        ("index", torch.tensor([1 << 40, 0, 0, 0])),
        ("index", torch.tensor([0.5, 1, 2, 3])),
        ("mask", torch.tensor([0, 2], dtype=torch.uint8)),
        ("0.bias", torch.full((4,), 1e300, dtype=torch.float64)),
    ):
        with pytest.raises(DataError, match=f"{name} holds"):
            fit({**state, name: value}, network, source="x")


def test_infinite_values_are_only_the_networks_own() -> None:
    """A mask of -inf is taken where the network has the same; elsewhere, and NaN, it is refused."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    model.register_buffer("mask", torch.tensor([0.0, float("-inf")]))
    network, state = small(model), dict(model.state_dict())
    assert torch.equal(fit(state, network, source="x")["mask"], state["mask"])
    for odd in ([float("-inf"), 0.0], [0.0, float("inf")], [0.0, float("nan")]):
        with pytest.raises(DataError, match="mask holds values that are not finite"):
            fit({**state, "mask": torch.tensor(odd)}, network, source="x")


def test_tied_tensors_need_one_value() -> None:
    """Of two names of one tensor a file may lack one, but not hold two values."""
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1))
    model[1].weight = model[0].weight
    network, state = small(model), dict(model.state_dict())
    less = {n: t for n, t in state.items() if n != "0.weight"}
    assert torch.equal(fit(less, network, source="x")["0.weight"], state["0.weight"])
    with pytest.raises(DataError, match=r"0\.weight and 1\.weight are one tensor in the network"):
        fit({**state, "1.weight": state["1.weight"] + 1}, network, source="x")


def test_old_names_of_torchvisions_own_files() -> None:
    """Names that older code gave are translated by torch's hooks, and those of DenseNet's files."""
    vit = small(VisionTransformer(8, 4, 2, 2, 8, 8, num_classes=3), "vit")
    new = vit.model.state_dict()
    old = {
        n.replace("mlp.0.", "mlp.linear_1.").replace("mlp.3.", "mlp.linear_2."): t
        for n, t in new.items()
    }
    assert set(old) != set(new)
    found = fit(old, vit, source="x")
    assert all(torch.equal(found[n], t) for n, t in new.items())
    dense = build_network("torchvision:densenet121", classes=3)
    new = dense.model.state_dict()
    old = {
        n.replace(".norm1.", ".norm.1.").replace(".norm2.", ".norm.2.")
        .replace(".conv1.", ".conv.1.").replace(".conv2.", ".conv.2."): t
        for n, t in new.items()
        if "num_batches_tracked" not in n
    }  # fmt: skip
    found = fit({f"module.{n}": t for n, t in old.items()}, dense, source="x")
    assert all(torch.equal(found[n], t) for n, t in new.items())


def test_a_users_hook_translates(tmp_path: Path) -> None:
    """A network's own hook decides what the values of an older version mean."""

    class Flipped(nn.Module):
        _version = 2

        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def _load_from_state_dict(self, state: Any, prefix: str, meta: Any, *rest: Any) -> None:  # noqa: ANN401
            if meta.get("version", 1) < 2:
                state[f"{prefix}conv.weight"] = -state[f"{prefix}conv.weight"]
            super()._load_from_state_dict(state, prefix, meta, *rest)

    network = small(Flipped())
    state = network.model.state_dict()
    path = saved(tmp_path / "a.pt", state)
    assert torch.equal(load_weights(path, network)["conv.weight"], state["conv.weight"])
    state._metadata[""]["version"] = 1  # type: ignore[attr-defined]
    path = saved(tmp_path / "b.pt", state)
    assert torch.equal(load_weights(path, network)["conv.weight"], -state["conv.weight"])


def test_names_that_become_one_are_refused(tmp_path: Path) -> None:
    """``0/weight`` and ``0.weight`` in one file are two answers to one question."""
    arrays: dict[str, Any] = {n: t.numpy() for n, t in weights().items()}
    arrays["0/weight"] = arrays["0.weight"] + 1
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=r"both '0[./]weight' and '0[./]weight'"):
        load_weights(tmp_path / "a.npz", small())


def test_sharded_files_are_read_by_their_index(tmp_path: Path) -> None:
    """An index with all its parts is read; a part alone, a missing one, a wrong map are refused."""
    state = weights()
    index = tmp_path / "m.safetensors.index.json"
    names = {n: f"m-{i + 1:05}-of-00002.safetensors" for i, n in enumerate(state)}
    for name, file in names.items():
        save_file({name: state[name]}, tmp_path / file)
    index.write_text(json.dumps({"metadata": {}, "weight_map": names}))
    found = load_weights(index, small())
    assert all(torch.equal(found[n], t) for n, t in state.items())
    with pytest.raises(DataError, match=r"part 1 of 2 .*m\.safetensors\.index\.json"):
        load_weights(tmp_path / names["0.weight"], small())
    wrongs: tuple[object, ...] = (
        {"weight_map": {"0.weight": names["0.bias"], "0.bias": names["0.weight"]}},
        {"weight_map": {**names, "0.bias": "../m.safetensors"}},
        {"weight_map": []},
        {},
        [],
    )
    for wrong in wrongs:
        index.write_text(json.dumps(wrong))
        with pytest.raises(DataError, match=r"index\.json"):
            load_weights(index, small())
    index.write_text(json.dumps({"weight_map": names}))
    (tmp_path / names["0.bias"]).unlink()
    with pytest.raises(DataError, match="which is not beside it"):
        load_weights(index, small())


def _scripted(path: Path) -> None:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch calls it deprecated
        torch.jit.save(torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3))), path)


def _arrays(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, a=np.ones(3))


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "weights")


FOREIGN: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "html": ("a.pth", lambda p: p.write_text("\n<!DOCTYPE html><html>404"), "a web page"),
    "lfs": ("a.bin", lambda p: p.write_text("version https://git-lfs.x/v1\n"), "git lfs pull"),
    "empty": ("a.safetensors", lambda p: p.write_bytes(b""), "is empty"),
    "folder": ("a.pt", lambda p: p.mkdir(), "the folder .* has no file of weights"),
    "model": ("a.pt", lambda p: torch.save(nn.Sequential(nn.ReLU()), p), "pickle of a whole model"),
    "code": ("a.pt", lambda p: torch.save({"w": Fraction(1, 2)}, p), "fractions.Fraction"),
    "scripted": ("a.pt", _scripted, "TorchScript archive"),
    "zip": ("a.pt", _zip, "no torch file"),
    "npz": ("a.pt", _arrays, "arrays of numpy"),
    "text": ("a.ckpt", lambda p: p.write_text("accuracy 0.5"), "no torch file"),
    "tensor": ("a.pt", lambda p: torch.save(torch.ones(3), p), "one tensor without a name"),
    "list": ("a.pt", lambda p: torch.save([torch.ones(3)], p), "no state dict .a list"),
    "arrays": ("a.pt", lambda p: torch.save({"w": np.ones(3)}, p), "holds no state dict"),
    "onnx": ("a.onnx", lambda p: p.write_bytes(b"\x08\x07"), "ONNX"),
    "keras": ("a.h5", lambda p: p.write_bytes(b"\x89HDF\r\n"), "Keras"),
    "keras2": ("a.pt", lambda p: p.write_bytes(b"\x89HDF\r\n"), "Keras"),
    "gguf": ("a.bin", lambda p: p.write_bytes(b"GGUF\x03"), "GGUF"),
    "gzip": ("a.pth", lambda p: p.write_bytes(b"\x1f\x8b\x08"), "compressed"),
    "objects": ("a.npz", lambda p: np.savez(p, a=np.array([{}], object)), "Python objects"),
    "words": ("a.npz", lambda p: np.savez(p, a=np.array(["x"])), "not numbers"),
    "nothing": ("a.npz", np.savez, "holds no tensors"),
    "unknown": ("a.weights", lambda p: p.write_bytes(b"1234"), "cannot tell the format"),
}  # fmt: skip


@pytest.mark.parametrize("kind", FOREIGN)
def test_what_holds_no_weights_is_told(kind: str, tmp_path: Path) -> None:
    """Each other kind of file is named, with what to do, and never with torch's own advice."""
    name, write, message = FOREIGN[kind]
    write(tmp_path / name)
    with pytest.raises(DataError, match=message) as caught:
        load_weights(tmp_path / name, small())
    assert name in str(caught.value)
    assert not any(words in str(caught.value) for words in FORBIDDEN)


def test_nothing_of_a_file_is_run(tmp_path: Path) -> None:
    """Objects that are passed over are never made: their code is not called."""
    value = argparse.Namespace(path=Path("/x"), number=np.float32(1))
    path = saved(tmp_path / "a.pt", {"model": weights(), "args": value})
    made: list[object] = []

    def noted(*args: object) -> None:
        made.append(args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(argparse.Namespace, "__init__", noted)
        assert set(load_weights(path, small())) == set(weights())
    assert not made


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": "bgr"}, "order='bgr'; expected 'BGR' or 'RGB'"),
        ({"resize_mode": "crop"}, "resize_mode='crop'; expected 'warp' or 'shorter'"),
        ({"mean": (0.5,)}, r"mean=\(0.5,\); expected 3 numbers"),
        ({"mean": 0.5}, "mean=0.5; expected 3 numbers"),
        ({"mean": (0.5, 0.5, float("nan"))}, "mean=nan; expected a finite"),
        ({"mean": ("1", "2", "3")}, "mean='1'"),
        ({"std": (1.0, 0.0, 1.0)}, "std=0.0; expected .* not 0"),
        ({"std": (1.0, 1.0)}, "std="),
        ({"scale": 0}, "scale=0; expected"),
        ({"scale": float("inf")}, "scale=inf"),
        ({"scale": "1/255"}, "scale='1/255'"),
        ({"scale": True}, "scale=True"),
        ({"size": 0}, "size=0; expected a whole number"),
        ({"size": 8.0}, "size=8.0"),
        ({"size": 9}, "input size 9 exceeds resize=8"),
        ({"resize": -8}, "resize=-8"),
        ({"context": -1}, "context=-1"),
        ({"mean_image": np.zeros((8, 8, 3))}, r"mean image has shape \(8, 8, 3\)"),
        ({"mean_image": np.full((3, 8, 8), np.nan)}, "not finite"),
        ({"mean_image": "mean.npy"}, "mean image has shape str"),
    ],
)
def test_preprocessing_is_checked_when_it_is_made(options: dict[str, Any], message: str) -> None:
    """A field that is not understood is named, never taken as something else."""
    with pytest.raises(DataError, match=message):
        Preprocess(**{"size": 8, "resize": 8, **options})


def test_preprocessing_keeps_its_text() -> None:
    """The text that is hashed is that of earlier versions, letter by letter."""
    assert Preprocess(size=8, resize=10, mean=(1, 2.5, 3)).to_json() == (
        '{"context": 16, "mean": [1, 2.5, 3], "order": "BGR", "resize": 10, '
        '"resize_mode": "warp", "scale": 1.0, "size": 8, "std": [1.0, 1.0, 1.0]}'
    )


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("layers", ["0"], "layers is list; expected a mapping"),
        ("layers", {"a": 0}, "layers holds 'a': 0"),
        ("layers", {0: "a"}, "layers holds 0: 'a'"),
        ("model", nn.ReLU, "model is ReLU; expected a torch.nn.Module"),
        ("model", {}, "model is dict"),
        ("preprocess", {"size": 8}, "preprocess is dict; expected fstore's Preprocess"),
        ("name", "", "name=''"),
        ("recipe", [], "recipe is list"),
        ("beside", {"a": nn.ReLU()}, "expected a Beside"),
    ],
)
def test_networks_are_checked_when_they_are_made(field: str, value: Any, message: str) -> None:  # noqa: ANN401
    """A field of another kind is named when the network is made."""
    given = {"name": "n", "model": nn.ReLU(), "preprocess": Preprocess(8, 8), "layers": {}}
    with pytest.raises(DataError, match=message):
        Network(**{**given, field: value})
    assert Network(**given, beside={"a": Beside("0", nn.ReLU())}).name == "n"  # type: ignore[arg-type]


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"\x93NUMPY\x01\x00v\x00{'d': (((", b"x"])
def test_broken_mean_images_are_told(content: bytes, tmp_path: Path) -> None:
    """Whatever numpy makes of broken bytes, the file is named."""
    (tmp_path / "mean.npy").write_bytes(content)
    with pytest.raises(DataError, match=r"mean\.npy"):
        read_mean_image(tmp_path / "mean.npy", Preprocess(8, 8))
