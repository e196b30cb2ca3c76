"""SqueezeNet v1.0 in its Caffe form: small files, AlexNet's accuracy."""

from dataclasses import replace

from fstore.extractor.networks._api import Beside, Network, network
from fstore.extractor.preprocess import Preprocess

__all__ = ["squeezenet_v1_0"]

LAYERS = (
    "pool1",
    "fire2",
    "fire3",
    "fire4",
    "pool4",
    "fire5",
    "fire6",
    "fire7",
    "fire8",
    "pool8",
    "fire9",
)


@network("squeezenet-v1.0")
def squeezenet_v1_0(*, classes: int = 1000) -> Network:
    """SqueezeNet v1.0 as Caffe defines it: pooling rounds sizes up, input BGR 227x227.

    ``fire2`` ... ``fire9`` are the concatenated outputs; ``conv_final`` is, like Caffe's blob of
    that name, the response after its ReLU. Beside them, ``pool9`` can be asked for: the largest of
    each 3x3 places of ``fire9``, stride 2 (6x6, as large as CaffeNet's conv5), which the network
    itself does not have; it is meant for detection. torchvision's ``squeezenet1_0`` differs: RGB
    input, scaled pixels, no padding in the last convolution, other weights.

    Whole images are resized as Caffe does by default: with OpenCV, bilinear, without antialiasing.
    Checkpoints from before fstore did so keep the antialiased images that they were made with.

    Parameters
    ----------
    classes : int
        Channels of ``conv_final``.

    Returns
    -------
    Network
        With Caffe's initial weights, drawn from torch's generator.

    References
    ----------
    Iandola et al. 2016, arXiv:1602.07360. Recipe: batch 512, lr 0.04, momentum 0.9, weight decay
    2e-4. Differs: lr falls in steps of 100,000 iterations instead of linearly.
    """
    from torch.nn import MaxPool2d

    from fstore.extractor.networks._squeezenet_model import squeezenet

    recipe = {
        "lr": 0.04,
        "batch_size": 512,
        "momentum": 0.9,
        "weight_decay": 2e-4,
        "step": 100_000,
        "gamma": 0.1,
        "mirror": True,
    }
    layers = {**{name: name for name in LAYERS}, "conv_final": "relu_conv_final"}
    preprocess = Preprocess(size=227, resize=256, antialias=False)
    formerly = (replace(preprocess, antialias=True),)
    beside = {"pool9": Beside("fire9", MaxPool2d(3, 2, ceil_mode=True))}
    model = squeezenet(classes).eval()
    return Network("squeezenet-v1.0", model, preprocess, layers, recipe, beside, formerly=formerly)
