"""CaffeNet, the network of the paper, and a small sister that learns on two CPU cores.

Both are the same chain: pooling comes BEFORE local response normalisation, conv2, conv4 and conv5
see their input in two groups, nothing works in place. Pooling is Caffe's: output sizes are rounded
up (at 227 pixels rounding down gives the same).
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fstore.extractor.networks._api import Network, network
from fstore.extractor.preprocess import Preprocess

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MINI", "Widths", "caffenet", "caffenet_mini", "small_caffenet"]

PAPER_SNAPSHOTS = (5, 15, 25, 35, 50, 95, 105, 195, 205, 305)
"""Thousands of iterations after which the paper kept the weights."""

LAYERS: Mapping[str, str] = {
    "conv1": "norm1",
    "conv2": "norm2",
    "conv3": "relu3",
    "conv4": "relu4",
    "conv5": "pool5",
    "fc6": "relu6",
    "fc7": "relu7",
}
"""What the paper's names mean: after normalisation, after ReLU, after pooling, after ReLU."""


CAFFE = Preprocess(size=227, resize=256, antialias=False)
CAFFE_SMOOTHED = replace(CAFFE, antialias=True)
"""What Caffe does by default, and what this program did before: docs/decisions/0013."""


@dataclass(frozen=True)
class Widths:
    """Sizes in which the two sisters differ: channels, first filter, side of conv5's map."""

    conv: tuple[int, int, int, int, int]
    fc: tuple[int, int]
    kernel: int
    stride: int
    padding: int
    side: int
    dropout: float


FULL = Widths(
    (96, 256, 384, 384, 256), (4096, 4096), kernel=11, stride=4, padding=0, side=6, dropout=0.5
)
MINI = Widths((16, 48, 64, 64, 48), (256, 256), kernel=7, stride=2, padding=3, side=4, dropout=0.5)


@network("caffenet")
def caffenet(*, classes: int = 1000) -> Network:
    """CaffeNet: 227x227 BGR input, 5 convolutional and 3 fully connected layers.

    Whole images are resized as Caffe does by default: with OpenCV, bilinear, without antialiasing.
    Checkpoints from before fstore did so keep the antialiased images that they were made with.

    Parameters
    ----------
    classes : int
        Outputs of fc8.

    Returns
    -------
    Network
        With the initial weights of the Caffe reference model, drawn from torch's generator:
        Gaussians of standard deviation 0.01 (fc6, fc7: 0.005), biases 0 (conv1, conv3, fc8) or 1.

    References
    ----------
    Krizhevsky et al. 2012; Jia et al. 2014 (``bvlc_reference_caffenet``). Recipe: batch 256,
    lr 0.01, x0.1 every 100,000 iterations, momentum 0.9, weight decay 5e-4; 305,000 iterations
    and the snapshots of Agrawal et al. 2014, section 3. Fine-tuning: lr 0.001, x0.1 every 20,000;
    40,000 iterations on whole images, 70,000 on regions (section 2.3).
    """
    model = _chain(FULL, classes)
    _init_caffe(model)
    recipe = {
        "lr": 0.01,
        "batch_size": 256,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "step": 100_000,
        "gamma": 0.1,
        "mirror": True,
        "iterations": 305_000,
        "snapshots": tuple(1000 * thousands for thousands in PAPER_SNAPSHOTS),
        "finetune": {"iterations": 40_000, "region_iterations": 70_000},
    }
    return Network("caffenet", model.eval(), CAFFE, LAYERS, recipe, formerly=(CAFFE_SMOOTHED,))


@network("caffenet-mini")
def caffenet_mini(*, classes: int = 10) -> Network:
    """CaffeNet's chain, narrow, on 64x64 pixels: learns handwritten digits in 300 iterations.

    Differs from CaffeNet in its widths, in conv1 (7x7, stride 2, padding 3), in its input (pixels
    also divided by 64, the whole image instead of a crop) and in its initial weights: Gaussians
    of variance 2 / fan-in, fc8 0.01, all biases 0. Whole images are antialiased: no weights of
    Caffe's are meant for it, and images of any size become much smaller here. Its recipe of
    fine-tuning: lr 0.01, x0.1 after 300 of 400 iterations, batch 64.
    """
    return small_caffenet(MINI, classes=classes)


def small_caffenet(widths: Widths, *, classes: int) -> Network:
    """Return caffenet-mini in some widths."""
    model = _chain(widths, classes)
    _init_fan_in(model)
    recipe = {
        "lr": 0.01,
        "batch_size": 64,
        "momentum": 0.9,
        "weight_decay": 5e-4,
        "step": 10_000,
        "gamma": 0.1,
        "mirror": False,
        "finetune": {"lr": 0.01, "batch_size": 64, "step": 300, "iterations": 400},
    }
    preprocess = Preprocess(size=64, resize=64, std=(64.0, 64.0, 64.0), context=4)
    return Network("caffenet-mini", model.eval(), preprocess, LAYERS, recipe)


def _chain(widths: Widths, classes: int) -> "nn.Sequential":
    from torch import nn

    c1, c2, c3, c4, c5 = widths.conv
    f6, f7 = widths.fc
    parts: Sequence[tuple[str, nn.Module]] = [
        ("conv1", nn.Conv2d(3, c1, widths.kernel, widths.stride, widths.padding)),
        ("relu1", nn.ReLU()),
        ("pool1", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("norm1", nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)),
        ("conv2", nn.Conv2d(c1, c2, 5, padding=2, groups=2)),
        ("relu2", nn.ReLU()),
        ("pool2", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("norm2", nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1.0)),
        ("conv3", nn.Conv2d(c2, c3, 3, padding=1)),
        ("relu3", nn.ReLU()),
        ("conv4", nn.Conv2d(c3, c4, 3, padding=1, groups=2)),
        ("relu4", nn.ReLU()),
        ("conv5", nn.Conv2d(c4, c5, 3, padding=1, groups=2)),
        ("relu5", nn.ReLU()),
        ("pool5", nn.MaxPool2d(3, 2, ceil_mode=True)),
        ("flatten", nn.Flatten()),  # (B, C, H, W) -> (B, C*H*W), channel-major as in Caffe
        ("fc6", nn.Linear(c5 * widths.side**2, f6)),
        ("relu6", nn.ReLU()),
        ("drop6", nn.Dropout(widths.dropout)),
        ("fc7", nn.Linear(f6, f7)),
        ("relu7", nn.ReLU()),
        ("drop7", nn.Dropout(widths.dropout)),
        ("fc8", nn.Linear(f7, classes)),
    ]
    return nn.Sequential(OrderedDict(parts))


def _init_caffe(model: "nn.Module") -> None:
    """Draw the weights as Caffe's reference model does."""
    from torch.nn import init

    for name, parameter in model.named_parameters():
        layer, kind = name.split(".")
        if kind == "weight":
            init.normal_(parameter, std=0.005 if layer in {"fc6", "fc7"} else 0.01)
        else:
            init.constant_(parameter, 0.0 if layer in {"conv1", "conv3", "fc8"} else 1.0)


def _init_fan_in(model: "nn.Module") -> None:
    """Draw the weights so that responses keep their size from layer to layer (He et al. 2015)."""
    from torch.nn import init

    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            init.zeros_(parameter)
        elif name == "fc8.weight":
            init.normal_(parameter, std=0.01)
        else:
            init.kaiming_normal_(parameter, nonlinearity="relu")
