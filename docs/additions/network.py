"""A network of one convolution."""

from fstore.extractor.networks import Network, network
from fstore.extractor.preprocess import Preprocess


@network("one-layer")
def one_layer(classes: int = 10) -> Network:
    """One convolution of 3 x 3 on 32 x 32 pixels, a filter a class."""
    from torch import nn

    model = nn.Sequential(nn.Conv2d(3, classes, kernel_size=3)).eval()
    return Network("one-layer", model, Preprocess(size=32, resize=32), {"conv": "0"})
