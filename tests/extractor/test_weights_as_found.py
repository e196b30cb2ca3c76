"""Weights as people find them: wrapped, beside others, with heads, in folders, in float16."""

import argparse
import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.weights import load_weights, notes_on, read_states


class Small(nn.Module):
    """A network with features and, mostly, class scores."""

    def __init__(self, *, scores: bool = True) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(4)
        self.layer1 = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
        if scores:
            self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        """Return scores, or pooled features."""
        x = self.layer1(self.bn1(self.conv1(x))).mean((2, 3))
        return self.fc(x) if hasattr(self, "fc") else x


def network(*, scores: bool = True) -> Network:
    """Give the network."""
    return Network("small", Small(scores=scores).eval(), Preprocess(size=8, resize=8), {})


def weights(*, scores: bool = True, seed: int = 0) -> dict[str, Tensor]:
    """Make weights that fit it."""
    torch.manual_seed(seed)
    return dict(Small(scores=scores).state_dict())


def under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Put a prefix before the names."""
    return {prefix + name: tensor for name, tensor in tensors.items()}


W, BARE, OTHER = weights(), weights(scores=False), weights(seed=1)
MLP = {"0.weight": torch.ones(8, 4), "0.bias": torch.ones(8), "2.weight": torch.ones(2, 8)}
ARGS = argparse.Namespace(lr=0.1)

TAKEN: dict[str, tuple[object, bool, list[str]]] = {
    "lightning with net.": ({"state_dict": under("net.", W), "epoch": 3}, True, []),
    "lightning, a loss and metrics": (
        {"state_dict": {**under("model.", W), "loss.weight": torch.ones(3)}},
        True,
        ["loss.weight"],
    ),
    "DDP of a compiled model": (under("module._orig_mod.", W), True, []),
    "compiled inside": (
        {k.replace("layer1.", "layer1._orig_mod."): v for k, v in under("model.", W).items()},
        True,
        [],
    ),
    "FSDP inside": (
        {k.replace("layer1.", "layer1._fsdp_wrapped_module."): v for k, v in W.items()},
        True,
        [],
    ),
    "an averaged model": (
        {"n_averaged": torch.tensor(5), **under("module.", W)},
        True,
        ["n_averaged"],
    ),
    "DINO's teacher": (
        {"teacher": {**under("backbone.", BARE), **under("head.mlp.", MLP)}, "args": ARGS},
        False,
        list(under("head.mlp.", MLP)),
    ),
    "SimCLR": (
        {"state_dict": {**under("encoder.", BARE), **under("projector.", MLP)}},
        False,
        list(under("projector.", MLP)),
    ),
    "MAE": (
        {"model": {**BARE, "mask_token": torch.ones(1), "decoder_blocks.0.w": torch.ones(1)}},
        False,
        ["mask_token", "decoder_blocks.0.w"],
    ),
    "scores that are not wanted": (W, False, ["fc.weight", "fc.bias"]),
    "a detector": (
        {**under("backbone.body.", BARE), **under("rpn.head.", MLP)},
        False,
        list(under("rpn.head.", MLP)),
    ),
    "DeepSpeed": ({"module": W, "ds_config": {}}, True, []),
}


@pytest.mark.parametrize("kind", TAKEN)
def test_what_people_have_is_taken(kind: str, tmp_path: Path) -> None:
    """The network's tensors are found among others, bit by bit; what is left out is listed."""
    content, scores, left_out = TAKEN[kind]
    torch.save(content, tmp_path / "a.pth")
    loaded = load_weights(tmp_path / "a.pth", network(scores=scores))
    expected = W if scores else BARE
    assert list(loaded) == list(expected)
    assert all(torch.equal(loaded[name], tensor) for name, tensor in expected.items())
    (state,) = read_states(tmp_path / "a.pth").values()
    notes = " ".join(notes_on(state, network(scores=scores), "a.pth"))
    assert ("left out" in notes) == (left_out != [])
    if left_out:
        assert f"left out {len(left_out)} tensor" in notes


ASKED: dict[str, tuple[object, list[str]]] = {
    "MoCo": (
        {
            "state_dict": {
                **under("module.encoder_q.", W),
                **under("module.encoder_k.", OTHER),
                "module.queue": torch.ones(3, 3),
            }
        },
        ["state_dict.module.encoder_q", "state_dict.module.encoder_k"],
    ),
    "BYOL without a wrapper": (
        {**under("online.", W), **under("target.", OTHER)},
        ["online", "target"],
    ),
    "EMA inside Lightning": (
        {"state_dict": {**under("model.", W), **under("model_ema.", OTHER)}},
        ["state_dict.model", "state_dict.model_ema"],
    ),
    "torchvision's references": (
        {"model": W, "model_ema": {"n_averaged": torch.tensor(1), **under("module.", OTHER)}},
        ["model", "model_ema"],
    ),
    "timm's": ({"state_dict": W, "state_dict_ema": OTHER}, ["state_dict", "state_dict_ema"]),
}


@pytest.mark.parametrize("kind", ASKED)
def test_several_that_fit_are_a_question(kind: str, tmp_path: Path) -> None:
    """Where two sets fit none is chosen; each is had by the key that the question names."""
    content, keys = ASKED[kind]
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(DataError, match="choose one with --key NAME") as asked:
        load_weights(tmp_path / "a.pth", network())
    assert all(f"{key} (" in str(asked.value) for key in keys)
    first, second = (load_weights(tmp_path / "a.pth", network(), key=key) for key in keys)
    assert torch.equal(first["fc.weight"], W["fc.weight"])
    assert torch.equal(second["fc.weight"], OTHER["fc.weight"])


def test_a_prefix_may_be_named_though_nothing_fits(tmp_path: Path) -> None:
    """The encoder of a self-supervised training is chosen, and what it lacks is told."""
    states = {**under("encoder_q.", BARE), **under("encoder_k.", BARE)}
    torch.save({"state_dict": states}, tmp_path / "a.pth")
    with pytest.raises(DataError, match=r"missing: fc\.weight, fc\.bias\. These weights"):
        load_weights(tmp_path / "a.pth", network(), key="state_dict.encoder_k")
    with pytest.raises(DataError, match="no state dict under 'encoder_k'"):
        load_weights(tmp_path / "a.pth", network(), key="encoder_k")


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a deeper network": (lambda: {**W, "layer1.4.weight": torch.ones(4)}, r"unexpected: layer1\.4"),
    "a module more": (lambda: {**W, "bn2.weight": torch.ones(4)}, r"unexpected: bn2\.weight"),
    "no scores": (
        lambda: under("encoder.", BARE),
        r"missing: fc\.weight, fc\.bias\. These weights have no class scores.*nn\.Identity\(\)",
    ),
    "a projection in their place": (
        lambda: {**BARE, **under("fc.", MLP)},
        r"missing: fc\.weight.*unexpected: fc\.0\.weight.*no class scores",
    ),
    "a hole": (
        lambda: {n: t for n, t in W.items() if n != "layer1.0.bias"},
        r"missing: layer1\.0\.bias$",
    ),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_would_be_another_network_is_refused(kind: str, tmp_path: Path) -> None:
    """Tensors that may be a part of the features are not left out, and missing ones are listed."""
    make, message = REFUSED[kind]
    torch.save(make(), tmp_path / "a.pth")
    with pytest.raises(DataError, match=message):
        load_weights(tmp_path / "a.pth", network())


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_told(kind: torch.dtype) -> None:
    """Numbers of half precision are taken exactly, of double precision rounded; both are said."""
    tensors = {n: t.to(kind) if t.is_floating_point() else t for n, t in W.items()}
    (note,) = notes_on(tensors, network(), "a.pth")
    name = str(kind).removeprefix("torch.")
    end = "rounded to float32" if kind is torch.float64 else "taken as float32, exactly"
    assert note == f"11 tensors of {name}: {end}"  # all but the counter of the normalisation


def test_folders_of_hugging_face_are_read(tmp_path: Path) -> None:
    """A folder stands for its weights: an index of parts, else model.safetensors, else .bin."""
    torch.save(OTHER, tmp_path / "pytorch_model.bin")
    assert torch.equal(load_weights(tmp_path, network())["fc.bias"], OTHER["fc.bias"])
    save_file(W, tmp_path / "model.safetensors")
    assert torch.equal(load_weights(tmp_path, network())["fc.bias"], W["fc.bias"])
    (tmp_path / "model.safetensors").unlink()
    parts = {
        "m-00001-of-00002.safetensors": {n: t for n, t in W.items() if n.startswith("fc")},
        "m-00002-of-00002.safetensors": {n: t for n, t in W.items() if not n.startswith("fc")},
    }
    for name, tensors in parts.items():
        save_file(tensors, tmp_path / name)
    index = {"weight_map": {n: name for name, tensors in parts.items() for n in tensors}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert torch.equal(load_weights(tmp_path, network())["fc.bias"], W["fc.bias"])


def test_a_folder_with_several_is_a_question(tmp_path: Path) -> None:
    """Files whose names say nothing are listed, not chosen from."""
    for name in ("epoch1.pt", "epoch2.pt"):
        torch.save(W, tmp_path / name)
    with pytest.raises(DataError, match=r"several files of weights: epoch1\.pt, epoch2\.pt"):
        load_weights(tmp_path, network())


def test_messages_hold_no_codes_for_terminals() -> None:
    """Colours, titles and links that libraries put into their texts are left out."""
    text = "\x1b[1mbold\x1b[0m, a \x1b]8;;http://x\x07link\x1b]8;;\x1b\\ and \x1b[38;5;9mred\x1b[m"
    assert str(DataError(text)) == "bold, a link and red"
    with pytest.raises(Exception, match="Weights only load failed") as theirs:
        torch.load(__file__, weights_only=True)
    assert "\x1b" not in str(DataError(str(theirs.value)))
