"""``store.network``: a checkpoint's network, as it was registered, to be looked at and run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fstore.api.listing import Listing
from fstore.errors import DataError
from fstore.html_text import definitions_html, heading_html
from fstore.types import CheckpointRecord, LayerSpec

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import nn

    from fstore.extractor.networks import Network
    from fstore.extractor.preprocess import Preprocess
    from fstore.store import Store

__all__ = ["LoadedNetwork", "load"]

Picture: TypeAlias = "str | Path | Image"


class LoadedNetwork:
    """A network with the weights and the preprocessing of a checkpoint, on the CPU.

    Called with images, or paths of images, it returns layers' responses:
    ``network(["cat.jpg"], layers="conv5")["conv5"]``.

    Attributes
    ----------
    checkpoint : CheckpointRecord
    model : torch.nn.Module
        In evaluation mode.
    preprocess : Preprocess
        What its input goes through.
    layers : list of str
        The declared layers, from the input upwards.
    """

    def __init__(self, network: "Network", checkpoint: CheckpointRecord) -> None:
        self._network = network
        self.checkpoint = checkpoint

    @property
    def model(self) -> "nn.Module":
        """The torch module, in evaluation mode."""
        return self._network.model

    @property
    def preprocess(self) -> "Preprocess":
        """What its input goes through."""
        return self._network.preprocess

    @property
    def layers(self) -> list[str]:
        """Names of the declared layers, from the input upwards."""
        return list(self._network.layers)

    def every_layer(self) -> Listing[LayerSpec]:
        """Return every layer that can be stored, with its shape, from the input upwards."""
        from fstore.extractor.taps import every_layer

        return Listing(
            every_layer(self._network),
            columns=("layer", "channels", "height", "width", "kind"),
            cells=lambda s: (s.name, s.channels, s.height, s.width, s.kind),
        )

    def input(self, images: "Picture | Sequence[Picture]") -> NDArray[np.float32]:
        """Return images as the network takes them, shape (n_images, 3, size, size), float32.

        Parameters
        ----------
        images : path, PIL image, or a sequence of them
            Whole images. Pixels of a PIL image are taken as they are.

        Raises
        ------
        DataError
            An image cannot be read; there is none.
        """
        from fstore.extractor.images import inputs, load_group

        pictures = (
            list(images)
            if isinstance(images, Sequence) and not isinstance(images, str)
            else [images]
        )
        if not pictures:
            raise DataError("no image is given; give one, or a list of them")
        arrays = []
        for picture in pictures:
            if isinstance(picture, (str, Path)):
                path = Path(picture)
                whole = load_group(path.parent, path.name, [None], preprocess=self.preprocess)
            else:
                rgb = picture.convert("RGB")
                whole = inputs(rgb, [None], self.preprocess, uri="the image")
            arrays.append(whole)
        joined: NDArray[np.float32] = np.concatenate(arrays)
        return joined

    def __call__(
        self,
        images: "Picture | Sequence[Picture]",
        layers: str | Sequence[str] | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Return layers' responses to images, as the network computes them: nothing is stored.

        They are not rounded; what ``store.extract`` stores is, to ``precision``.

        Parameters
        ----------
        images : path, PIL image, or a sequence of them
        layers : str, sequence of str or None
            None for the declared layers.

        Returns
        -------
        dict of arrays of shape (n_images, n_channels, height, width), float32
            Or (n_images, n_channels) for layers without maps.

        Raises
        ------
        UnknownNameError
            The network has no such layer.
        DataError
            An image cannot be read.
        """
        from fstore.extractor.devices import find_devices, to_device
        from fstore.extractor.taps import Taps

        names = [layers] if isinstance(layers, str) else layers
        x = to_device(self.input(images), self.preprocess, find_devices("cpu")[0])
        responses = Taps(self._network, names).collect(x)
        return {name: tensor.float().numpy() for name, tensor in responses.items()}

    def _told(self) -> dict[str, object]:
        weights = sum(p.numel() for p in self.model.parameters())
        return {
            "checkpoint": f"{self.checkpoint.network}/{self.checkpoint.name}",
            "parameters": f"{weights:,}",
            "input": f"{self.preprocess.size} x {self.preprocess.size}, {self.preprocess.order}",
            "layers": ", ".join(self.layers),
        }

    def __repr__(self) -> str:
        told = "; ".join(f"{name}: {value}" for name, value in self._told().items())
        return f"<LoadedNetwork {told}>"

    def _repr_html_(self) -> str:
        return heading_html("Network") + definitions_html(self._told())


def load(store: "Store", ckpt: str, network: str | None = None) -> LoadedNetwork:
    """Return the network of a checkpoint."""
    from fstore.workflows.checkpoints import load_network

    record = store.find_checkpoint(ckpt, network)
    return LoadedNetwork(load_network(store, record), record)
