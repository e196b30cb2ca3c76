"""A report as a function: the deviation of a layer's responses."""

from typing import Any

import numpy as np


def table(store: Any, *, layer: str, ckpt: str) -> list[dict[str, float]]:  # noqa: ANN401
    """Return one row: the standard deviation of the largest responses of all maps."""
    result = store.sql(
        "SELECT act_max FROM activations WHERE layer = $layer AND ckpt = $ckpt",
        layer=layer,
        ckpt=ckpt,
    )
    return [{"deviation": float(np.std(result.numpy()["act_max"]))}]
