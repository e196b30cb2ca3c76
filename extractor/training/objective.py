"""What is minimised and what is measured; both follow from the kind of targets.

One class an example: softmax cross-entropy, and the share of examples that are classified rightly.
Several classes an example: the sum of the classes' sigmoid cross-entropies, and mean average
precision (all points). Both losses are in nats, means over the batch's examples.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from fstore.errors import DataError
from fstore.extractor.training.examples import Examples, Targets, centre_crop

__all__ = ["class_scores", "loss_sum", "measure", "measure_name"]


def class_scores(output: object) -> Tensor:
    """Return the main scores (batch, classes); some networks add auxiliary ones in training.

    Raises
    ------
    DataError
        The output is something else.
    """
    scores = output[0] if isinstance(output, (tuple, list)) else output
    if not isinstance(scores, Tensor) or scores.ndim != 2:
        raise DataError("the network's output must be class scores of shape (batch, classes)")
    return scores


def loss_sum(scores: Tensor, targets: Tensor) -> Tensor:
    """Sum of the examples' losses, nats.

    Parameters
    ----------
    scores : Tensor of shape (B, n_classes)
    targets : Tensor
        (B,) int64: softmax cross-entropy. (B, n_classes) int8: sigmoid cross-entropy, summed over
        the classes whose target is 1 or -1; a target of 0 adds nothing.
    """
    scores = scores.float()  # autocast gives half floats
    if targets.ndim == 1:
        return functional.cross_entropy(scores, targets, reduction="sum")
    wanted = (targets > 0).float()
    losses = functional.binary_cross_entropy_with_logits(scores, wanted, reduction="none")
    return (losses * (targets != 0)).sum()


def measure_name(targets: Targets) -> str:
    """Return what :func:`measure` gives for such targets: ``accuracy`` or ``mean AP``."""
    return "accuracy" if targets.ndim == 1 else "mean AP"


def measure(model: nn.Module, examples: Examples, size: int, *, batch_size: int = 128) -> float:
    """Share of examples that are classified rightly, or mean average precision; 0 to 1.

    Parameters
    ----------
    model : torch.nn.Module
        Put into evaluation mode.
    examples : Examples
        Their middle is cropped.
    size : int
        Side of the model's input, pixels.
    batch_size : int
        Images a forward pass.

    Returns
    -------
    float
        For several classes an example: average precision over all points of the curve, the mean
        over the classes that have both positive and negative examples; NaN if none has.
    """
    scores = _scores(model, examples, size=size, batch_size=batch_size)
    if examples.labels.ndim == 1:
        return float((scores.argmax(axis=1) == examples.labels).mean())
    return _mean_ap(scores, examples.labels)


def _scores(
    model: nn.Module, examples: Examples, *, size: int, batch_size: int
) -> NDArray[np.float32]:
    model.eval()
    device = next(model.parameters()).device
    scores = []
    n_examples = len(examples.labels)
    with torch.inference_mode():
        for start in range(0, n_examples, batch_size):
            places = np.arange(start, min(start + batch_size, n_examples))
            x = torch.from_numpy(centre_crop(examples.load(places), size)).to(device)
            scores.append(class_scores(model(x)).float().cpu().numpy())
    return np.concatenate(scores)


def _mean_ap(scores: NDArray[np.float32], labels: Targets) -> float:
    from sklearn.metrics import average_precision_score

    precisions = []
    for column, label in zip(scores.T, labels.T, strict=True):
        counted = label != 0
        if set(np.unique(label[counted])) == {-1, 1}:
            precisions.append(average_precision_score(label[counted] > 0, column[counted]))
    return float(np.mean(precisions)) if precisions else float("nan")
