"""The demo's network: the small CaffeNet, with a first layer that starts near zero."""

from dataclasses import replace

from fstore.extractor.networks._api import Network, network
from fstore.extractor.networks.caffenet import caffenet_mini

__all__ = ["caffenet_digits"]

FIRST_STD = 0.01
"""CaffeNet's own; at fan-in's 0.117 the noise of the start still covers what conv1 has learned."""


@network("caffenet-digits")
def caffenet_digits(*, classes: int = 10) -> Network:
    """caffenet-mini whose first filters show what they learn: they start near zero.

    Weights of conv1 are drawn with a standard deviation of 0.01, as CaffeNet's are. All else is
    caffenet-mini's, but for the learning rate of pre-training, 0.02.
    """
    from torch.nn import init

    mini = caffenet_mini(classes=classes)
    init.normal_(mini.model.get_parameter("conv1.weight"), std=FIRST_STD)
    return replace(mini, name="caffenet-digits", recipe={**mini.recipe, "lr": 0.02})
