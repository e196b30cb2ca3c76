"""Receptive fields: what marking finds is what the recurrence over kernels and strides gives."""

from collections.abc import Sequence
from itertools import chain as chained

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor import receptive
from fstore.extractor.networks import Network, build_network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.receptive import find_fields, fit_line
from fstore.fields import Field, box_of

Step = tuple[int, int, int]
"""Kernel, stride, padding."""


def by_hand(steps: Sequence[Step]) -> tuple[int, int, int]:
    """Return size, stride and first pixel of a chain by the recurrence that textbooks give."""
    size, stride, first = 1, 1, 0
    for kernel, step, padding in steps:
        size += (kernel - 1) * stride
        first -= padding * stride
        stride *= step
    return size, stride, first


def told(field: Field | str) -> tuple[int, int, int]:
    """Return the same of a field whose rows and columns are alike."""
    assert isinstance(field, Field)
    assert not field.whole
    assert (field.size_h, field.stride_h, field.first_row) == (
        field.size_w,
        field.stride_w,
        field.first_col,
    )
    return field.size_h, field.stride_h, field.first_row


def own(model: nn.Module, layers: Sequence[str], *, size: int = 64) -> Network:
    """Return a network of one's own."""
    preprocess = Preprocess(size=size, resize=size)
    return Network("own", model.eval(), preprocess, {name: name for name in layers})


def chain(steps: Sequence[Step]) -> nn.Sequential:
    """Return convolutions, alternating with maximum pooling where there is no padding."""
    torch.manual_seed(0)
    parts: list[nn.Module] = []
    channels = 3
    for at, (kernel, step, padding) in enumerate(steps):
        if at % 2:
            parts.append(nn.MaxPool2d(kernel, step, padding))
        else:
            parts.append(nn.Conv2d(channels, 4, kernel, step, padding))
            channels = 4
    return nn.Sequential(*parts)


CAFFENET = [(11, 4, 0), (3, 2, 0), (5, 1, 2), (3, 2, 0), (3, 1, 1), (3, 1, 1), (3, 1, 1), (3, 2, 0)]
CAFFENET_LAYERS = {"conv1": 2, "conv2": 4, "conv3": 5, "conv4": 6, "conv5": 8}


def test_caffenet_by_hand() -> None:
    """CaffeNet's layers have the fields of its kernels; the last pooling sees 195 pixels, every 32.

    Its declared layers are taken after pooling.
    """
    fields = find_fields(build_network("caffenet"))
    for layer, steps in CAFFENET_LAYERS.items():
        assert told(fields[layer]) == by_hand(CAFFENET[:steps])
    assert told(fields["conv5"]) == (195, 32, -64)
    assert [getattr(fields[n], "whole", None) for n in ("fc6", "fc7")] == [True, True]


def test_caffenet_before_its_last_pooling() -> None:
    """The fifth convolution of CaffeNet sees 163 pixels, every 16, as the literature has it."""
    network = build_network("torchvision:alexnet")  # the same kernels, 2 pixels more of padding
    field = find_fields(network, ["features.11"])["features.11"]
    assert told(field) == by_hand([(11, 4, 2), *CAFFENET[1:7]]) == (163, 16, -66)


@pytest.mark.parametrize(
    "steps",
    [
        [(7, 2, 3), (3, 2, 1), (3, 1, 1)],
        [(3, 1, 0), (2, 2, 0), (5, 3, 2)],
        [(1, 2, 0), (3, 1, 1), (1, 1, 0)],
        [(4, 4, 0)],
        [(3, 1, 1)] * 9,
    ],
)
def test_chains_by_hand(steps: list[Step]) -> None:
    """Any chain of convolutions and poolings has the field of the recurrence."""
    last = str(len(steps) - 1)
    assert told(find_fields(own(chain(steps), [last]))[last]) == by_hand(steps)


def test_a_field_larger_than_the_input() -> None:
    """A field of 129 pixels on an input of 64 is told by a larger input, and nothing is guessed."""
    steps = [(3, 2, 1), (3, 2, 1), *[(9, 1, 4), (1, 1, 0)] * 3, (9, 1, 4)]
    assert by_hand(steps)[0] > 64
    last = str(len(steps) - 1)
    assert told(find_fields(own(chain(steps), [last]))[last]) == by_hand(steps)


def test_dead_and_negative_weights_hide_nothing() -> None:
    """Weights of zero, of which no gradient tells anything, do not make a field smaller."""
    conv = nn.Conv2d(3, 4, 5, padding=2)
    model = nn.Sequential(conv, nn.ReLU(inplace=True), nn.MaxPool2d(2))
    nn.init.zeros_(conv.weight)
    nn.init.constant_(conv.bias if conv.bias is not None else conv.weight, -1)
    assert told(find_fields(own(model, ["2"]))["2"]) == by_hand([(5, 1, 2), (2, 2, 0)])


def test_fields_are_what_gradients_show() -> None:
    """With positive weights, the gradient of a place is not zero in its box alone.

    A dilated, a grouped and an oblong kernel, and average pooling.
    """
    torch.manual_seed(1)
    model = nn.Sequential(
        nn.Conv2d(3, 4, (3, 5), padding=(1, 0), dilation=2),
        nn.Conv2d(4, 8, 3, stride=(1, 2), groups=2, padding=1),
        nn.AvgPool2d(3, 2, ceil_mode=True),
    ).double()
    for parameter in model.parameters():
        nn.init.uniform_(parameter, 0.5, 1)
    field = find_fields(own(model.float(), ["2"]))["2"]
    assert isinstance(field, Field)
    assert field.size_h != field.size_w
    x = torch.zeros(1, 3, 64, 64, dtype=torch.float64, requires_grad=True)
    output = model.double()(x).sum(1)[0]
    for row, col in [(0, 0), (10, 5), (11, 5), (10, 6), (output.shape[0] - 1, output.shape[1] - 1)]:
        (gradient,) = torch.autograd.grad(output[row, col], x, retain_graph=True)
        seen = np.argwhere(gradient.abs().sum((0, 1)).numpy() > 0)
        (y0, x0), (y1, x1) = seen.min(axis=0), seen.max(axis=0) + 1
        assert box_of(field, row, col) == (x0, y0, x1, y1)


class Gated(nn.Module):
    """A convolution whose output is multiplied by what was pooled over the whole map."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 5, 2, 2)
        self.excite = nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        """Squeeze, excite."""
        y: Tensor = self.conv(x)
        gates: Tensor = self.excite(y.mean((2, 3)))[:, :, None, None].sigmoid()
        return y * gates


@pytest.mark.parametrize("kind", ["gate", "statistics"])
def test_pooled_numbers_are_taken_as_given(kind: str) -> None:
    """Behind a gate, or a normalisation over places, the field is that of the rest, and is marked.

    Before it there is no such mark, and what is pooled at the end sees the whole input.
    """
    conv = nn.Conv2d(3, 8, 5, 2, 2)
    inner = Gated() if kind == "gate" else nn.Sequential(conv, nn.GroupNorm(2, 8))
    model = nn.Sequential(nn.Identity(), inner, nn.Conv2d(8, 4, 3), nn.AdaptiveAvgPool2d(1))
    fields = find_fields(own(model, ["0", "2", "3"]))
    assert told(fields["0"]) == (1, 1, 0)
    assert told(fields["2"]) == by_hand([(5, 2, 2), (3, 1, 0)])
    gated = {name: isinstance(f, Field) and f.gated for name, f in fields.items()}
    assert gated == {"0": False, "2": True, "3": False}
    assert getattr(fields["3"], "whole", None) is True


class Windows(nn.Module):
    """Each 16 x 16 window of an image is mixed in itself."""

    def forward(self, x: Tensor) -> Tensor:
        """Subtract a window's mean."""
        cut = x.reshape(*x.shape[:2], 4, 16, 4, 16)
        mixed: Tensor = (cut - cut.mean((3, 5), keepdim=True)).flatten(4).flatten(2, 3)
        return mixed


def test_windows_are_listed() -> None:
    """What sees its window alone is no regular field; each place's box is its window."""
    field = find_fields(own(nn.Sequential(Windows()), ["0"]))["0"]
    assert isinstance(field, Field)
    assert not field.whole
    assert box_of(field, 0, 0) == box_of(field, 15, 15) == (0, 0, 16, 16)
    assert box_of(field, 16, 63) == (48, 16, 64, 32)


def test_what_no_pixel_reaches_has_no_field() -> None:
    """The class token before the first attention has no field, and a sentence says so."""
    network = build_network("torchvision:vit_b_32")
    fields = find_fields(network, ["conv_proj", "encoder.dropout/cls"])
    assert told(fields["conv_proj"]) == (32, 32, 0)
    assert fields["encoder.dropout/cls"] == "no pixel of the input reaches it"


def test_a_search_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A network whose fields take too long has none, and a sentence says why."""
    monkeypatch.setattr(receptive, "SECONDS", -1.0)
    with pytest.raises(DataError, match="were not found within"):
        find_fields(own(nn.Sequential(nn.Conv2d(3, 4, 3)), ["0"]))


def test_a_network_without_numbers_is_refused() -> None:
    """Where an output is NaN by itself, marks mean nothing, and that is said."""
    norm = nn.BatchNorm2d(4)
    nn.init.constant_(norm.weight, torch.nan)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), norm)
    with pytest.raises(DataError, match="no numbers"):
        find_fields(own(model, ["1"]))


def test_the_model_is_left_as_it_was() -> None:
    """Neither weights, nor random numbers, nor an attribute that its code sets are touched."""
    network = build_network("caffenet-mini")
    before = {name: t.clone() for name, t in network.model.state_dict().items()}
    state = torch.get_rng_state()
    find_fields(network)
    assert torch.equal(state, torch.get_rng_state())
    after = network.model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_a_line_is_told_only_where_marks_show_it() -> None:
    """Marks that are cut off at both ends, or follow no line, give none."""
    pixels = np.arange(32)
    starts = 4 * np.arange(6) + 3
    regular = (pixels[:, None] >= starts) & (pixels[:, None] < starts + 7)
    line = fit_line(pixels, regular)
    assert line is not None
    assert (line.size, line.stride, line.first) == (7, 4, 3)
    assert fit_line(pixels, np.ones((32, 6), dtype=bool)) is None
    odd = regular.copy()
    odd[20, 4] = False
    odd[21, 1] = True
    assert fit_line(pixels, odd) is None


BOTTLENECK = [(1, 1, 0), (3, 1, 1), (1, 1, 0)]
STRIDED = [(1, 1, 0), (3, 2, 1), (1, 1, 0)]
RESNET = [
    [(7, 2, 3), (3, 2, 1), *BOTTLENECK * 3],
    [*STRIDED, *BOTTLENECK * 3],
    [*STRIDED, *BOTTLENECK * 5],
    [*STRIDED, *BOTTLENECK * 2],
]


@pytest.mark.slow
def test_resnet50_by_hand() -> None:
    """ResNet-50's stages see 35, 91, 267 and 427 pixels, the last more than its input has."""
    stages = [f"layer{n}" for n in (1, 2, 3, 4)]
    fields = find_fields(build_network("torchvision:resnet50"), stages)
    for at, stage in enumerate(stages):
        assert told(fields[stage]) == by_hand(list(chained.from_iterable(RESNET[: at + 1])))
    assert [told(fields[stage])[0] for stage in stages] == [35, 91, 267, 427]


@pytest.mark.slow
def test_vgg16_by_hand() -> None:
    """VGG-16's conv5_3 sees 196 pixels, every 16."""
    conv, pool = (3, 1, 1), (2, 2, 0)
    steps = [conv, conv, pool, conv, conv, pool, *[conv, conv, conv, pool] * 2, conv, conv, conv]
    field = find_fields(build_network("torchvision:vgg16"), ["features.29"])["features.29"]
    assert told(field) == by_hand(steps)
    assert told(field)[:2] == (196, 16)


@pytest.mark.slow
def test_squeezenet_by_hand() -> None:
    """SqueezeNet's fire modules widen the field by two of their pixels each, as their 3x3 does."""
    fields = find_fields(build_network("squeezenet-v1.0"))
    fire, pool = (3, 1, 1), (3, 2, 0)
    steps = [(7, 2, 0), pool, fire, fire, fire, pool, *[fire] * 4, pool, fire]
    assert told(fields["fire9"]) == by_hand(steps)
    assert told(fields["fire4"]) == by_hand(steps[:5])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer", "expected"),
    [
        ("convnext_tiny", "features.3", (224, 8, -108)),
        ("convnext_tiny", "features.5", (1096, 16, -540)),
        ("efficientnet_b0", "features.8", (851, 32, -425)),
        ("mobilenet_v2", "features.18", (491, 32, -245)),
    ],
)
def test_published_sizes(name: str, layer: str, expected: tuple[int, int, int]) -> None:
    """Networks that need tricks: layer scale, gates, fields of several inputs' size."""
    field = find_fields(build_network(f"torchvision:{name}"), [layer])[layer]
    assert told(field) == expected
    assert isinstance(field, Field)
    assert field.gated == (name == "efficientnet_b0")


@pytest.mark.slow
def test_attention_sees_the_whole_input() -> None:
    """A vision transformer's patches see themselves; behind attention each sees all."""
    layers = ["conv_proj", "encoder.layers.encoder_layer_0"]
    fields = find_fields(build_network("torchvision:vit_b_32"), layers)
    assert told(fields["conv_proj"]) == (32, 32, 0)
    assert getattr(fields[layers[1]], "whole", None) is True


@pytest.mark.slow
def test_swin_sees_its_window_first() -> None:
    """Swin's first attention sees a window of 7 x 7 patches, 28 pixels, and no more."""
    layer = "features.1.0"
    field = find_fields(build_network("torchvision:swin_t"), [layer])[layer]
    assert isinstance(field, Field)
    assert not field.whole
    assert box_of(field, 0, 0) == box_of(field, 6, 6) == (0, 0, 28, 28)
    assert box_of(field, 7, 55) == (196, 28, 224, 56)
