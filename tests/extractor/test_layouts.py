"""What the dimensions of an output mean is known, stated by the user, or refused."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from fstore.errors import DataError, UnknownNameError
from fstore.extractor.axes import reshaped
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.taps import Taps, layer_specs


class Own(nn.Module):
    """A convolution of 6 channels and stride 4, then a function; of one input size or any."""

    def __init__(self, then: Callable[[Tensor], Tensor], *, fixed: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 4, 4)
        self.out = nn.Identity()
        self.norm = nn.LayerNorm(6)
        self.one = nn.Conv1d(6, 5, 3)
        self.then = then
        self.fixed = fixed

    def forward(self, x: Tensor) -> Tensor:
        """Run the parts."""
        assert not self.fixed or x.shape[-1] == 16
        out: Tensor = self.out(self.then(self.conv(x)))
        return out


def network(then: Callable[[Tensor], Tensor], *, fixed: bool = True, **more: object) -> Network:
    """Wrap a function of a convolution's (N, 6, 4, 4) output."""
    model = Own(then, fixed=fixed).eval()
    prepared = Preprocess(size=16, resize=16)
    return Network("own", model, prepared, {"l": "out"}, **more)  # type: ignore[arg-type]


def scrambled(y: Tensor) -> Tensor:
    """Lose track of the channels: a matrix product with the input's own products."""
    flat = y.flatten(2)
    return torch.einsum("nct,ndt->ncd", flat, flat)


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize(
    ("then", "shape"),
    [
        (lambda y: y.permute(0, 2, 3, 1), (6, 4, 4)),
        (lambda y: nn.functional.layer_norm(y.permute(0, 2, 3, 1), (6,)), (6, 4, 4)),
        (lambda y: y.movedim(1, -1).contiguous() * 2, (6, 4, 4)),
        (lambda y: y * 1, (6, 4, 4)),
        (lambda y: y.flatten(2), (6, 4, 4)),
        (lambda y: y.reshape(len(y), 6, -1).relu(), (6, 4, 4)),
        (lambda y: y.flatten(2).transpose(1, 2), (6, 4, 4)),
        (lambda y: y.flatten(2).mT, (6, 4, 4)),
        (lambda y: y.mean(3), (6, 4, 1)),
        (lambda y: y.mean(2).swapaxes(1, 2), (6, 4, 1)),
        (lambda y: torch.cat([y.flatten(2).mT[:, :1], y.flatten(2).mT], 1), (6, 4, 4)),
        (lambda y: y.permute(0, 2, 3, 1).reshape(-1, 2, 2, 4, 6)[:, 0], (6, 2, 4)),
        (lambda y: y.mean((2, 3)), (6, 1, 1)),
        (lambda y: y.mean((2, 3), keepdim=True).permute(0, 2, 3, 1), (6, 1, 1)),
    ],
)
def test_channels_are_followed_from_the_convolution(
    then: Callable[[Tensor], Tensor], shape: tuple[int, ...], *, fixed: bool
) -> None:
    """Six channels stay six channels however arranged, whether the size is fixed or not."""
    (spec,) = layer_specs(network(then, fixed=fixed))
    assert (spec.channels, spec.height, spec.width) == shape


def test_convolutions_over_one_dimension_keep_their_channels() -> None:
    """(N, C, L) of a Conv1d is C channels with L places, not L tokens."""
    own = network(lambda y: y)
    model = own.model
    assert isinstance(model, Own)
    model.then = lambda y: model.one(y.flatten(2))
    x = torch.randn(2, 3, 16, 16)
    taps = Taps(own)
    assert (taps.specs[0].channels, taps.specs[0].height) == (5, 14)
    with torch.no_grad():
        expected = model.one(model.conv(x).flatten(2))
    assert torch.equal(taps.collect(x)["l"][..., 0], expected)


def test_what_cannot_be_known_is_refused_with_the_way_to_state_it() -> None:
    """Channels that no operation tells are refused; a stated layout is taken."""
    with pytest.raises(
        DataError, match=r"which of these are the channels.*layouts=\{'l': \.\.\.\}"
    ):
        layer_specs(network(scrambled))
    x = torch.randn(2, 3, 16, 16)
    found = {}
    definitions = set()
    for stated in ("channels_first", "tokens"):
        taps = Taps(network(scrambled, layouts={"l": stated}))
        found[stated] = taps.collect(x)["l"].shape
        definitions.add(taps.specs[0].definition)
    assert found == {"channels_first": (2, 6, 6, 1), "tokens": (2, 6, 6, 1)}
    assert len(definitions) == 2
    with pytest.raises(DataError, match="does not fit"):
        layer_specs(network(scrambled, layouts={"l": "vector"}))
    with pytest.raises(DataError, match="there is no layout 'nhwc'"):
        layer_specs(network(scrambled, layouts={"l": "nhwc"}))
    with pytest.raises(UnknownNameError, match="'typo', which is no layer"):
        layer_specs(network(scrambled, layouts={"typo": "tokens"}))


def test_outputs_that_are_not_one_a_sample_are_refused() -> None:
    """A mean over the batch has one row whatever the batch: no layer."""
    with pytest.raises(DataError, match="two: not one response a sample"):
        layer_specs(network(lambda y: y.mean(0, keepdim=True)))


@pytest.mark.parametrize(
    ("shape", "axes", "out", "expected"),
    [
        ((2, 6, 4, 4), "NCPP", (2, 6, 16), "NCP"),
        ((2, 4, 4, 6), "NPPC", (2, 2, 2, 2, 2, 6), "NPPPPC"),
        ((2, 6, 4, 4), "NCPP", (2, 96), "N?"),
        ((2, 6, 4, 4), "NCPP", (2, 2, 3, 4, 4), "N??PP"),
        ((2, 6, 1, 1), "NCPP", (2, 6), "NC"),
        ((2, 6, 4, 4), "NCPP", (12, 16), "?P"),
        ((2, 6, 4), "NCP", (2, 8, 3), "N??"),
    ],
)
def test_a_reshape_keeps_what_it_does_not_mix(
    shape: tuple[int, ...], axes: str, out: tuple[int, ...], expected: str
) -> None:
    """Dimensions that a reshape leaves, or that are all places, keep their meaning."""
    words = {"N": "sample", "C": "channel", "P": "place", "?": "unknown"}
    found = reshaped(shape, tuple(words[a] for a in axes), out)
    assert found == tuple(words[a] for a in expected)


def test_complex_responses_are_refused() -> None:
    """Complex numbers have no place in the store: half of them would be lost in silence."""
    taps = Taps(network(torch.fft.fft2, layouts={"l": "channels_first"}))
    with pytest.raises(DataError, match="complex64"):
        taps.collect(torch.zeros(1, 3, 16, 16))
