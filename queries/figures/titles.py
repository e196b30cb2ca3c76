"""What a drawing of an analysis is of: its title, and what was asked."""

from collections.abc import Mapping
from typing import Any

__all__ = ["analysis_title"]

ASKED = (
    "layer", "other_layer", "other", "dataset", "other_dataset", "view", "part", "channel",
    "class_name", "ablation",
)  # fmt: skip
"""Options of an analysis that say what its rows are of, in the order of a title."""


def analysis_title(title: str, options: Mapping[str, Any]) -> str:
    """Return an analysis' title, and on a second line layer, checkpoint, data set and the like.

    Parameters
    ----------
    title : str
        Of the analysis.
    options : mapping
        As they were asked; those that say nothing (None, empty) are left out.

    Examples
    --------
    >>> print(analysis_title("Top images", {"layer": "conv5", "ckpt": "305k", "dataset": "voc07"}))
    Top images
    conv5, 305k, voc07
    """
    network, ckpt = options.get("network"), options.get("ckpt")
    where = f"{network}/{ckpt}" if network and ckpt and "/" not in str(ckpt) else ckpt
    told = {**options, "ckpt": where}
    keys = (ASKED[0], "ckpt", *ASKED[1:])
    parts = [_said(key, told[key]) for key in keys if told.get(key) not in (None, "", ())]
    return "\n".join([title, ", ".join(parts)]) if parts else title


def _said(key: str, value: object) -> str:
    """Return one option in words: a filter is told from a layer by name, two checkpoints too."""
    several = value if isinstance(value, tuple | list) else (value,)
    text = ", ".join(map(str, several))
    others = dict.fromkeys(("other", "other_layer", "other_dataset"), "against ")
    words = {"channel": "filter ", **others}
    return words.get(key, "") + text
