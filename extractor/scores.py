"""What a network's own classifier says of samples."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from fstore.errors import DataError
from fstore.extractor.devices import find_devices, to_device
from fstore.extractor.loading import InputSample, load_batches
from fstore.extractor.networks import Network
from fstore.types import ImageFolder

__all__ = ["output_scores"]


def output_scores(
    network: Network,
    root: ImageFolder,
    samples: Sequence[InputSample],
    *,
    device: str = "auto",
    batch_size: int = 64,
    workers: int = 2,
) -> NDArray[np.float32]:
    """Return the network's outputs before any softmax, shape (n_samples, n_outputs).

    Parameters
    ----------
    network : Network
        With trained weights.
    root : ImageFolder
        Folder of the data set.
    samples : sequence of InputSample
        Whole images or boxes; prepared as for extraction.
    device : str
        ``auto``, ``cpu``, ``cuda``, ``cuda:1``; of several devices the first is used.
    batch_size, workers : int
        Samples a forward pass, threads that decode.

    Raises
    ------
    DataError
        An image is unreadable or changed, or the network's output is not one vector a sample.
    """
    where, p = find_devices(device)[0], network.preprocess
    model = network.model.to(where).eval()
    scores = []
    batches = [samples[i : i + batch_size] for i in range(0, len(samples), batch_size)]
    with torch.inference_mode():
        for batch in load_batches(
            root, batches, p, workers=workers, warp_later=where.type != "cpu"
        ):
            if batch.bad:
                raise DataError(f"{batch.bad[0].uri}: {batch.bad[0].reason}")
            scores.append(_scores(model(to_device(batch.images, p, where)), network.name))
    return np.concatenate(scores)


def _scores(output: object, name: str) -> NDArray[np.float32]:
    if not isinstance(output, torch.Tensor) or output.ndim != 2:
        raise DataError(f"network {name!r} gives no vector of class scores a sample")
    scores: NDArray[np.float32] = output.float().cpu().numpy()
    return scores
