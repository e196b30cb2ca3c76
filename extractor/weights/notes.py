"""What is said of weights that are taken otherwise than they stand in their file."""

from collections import Counter
from collections.abc import Mapping

import torch
from torch import Tensor

from fstore.extractor.networks import Network
from fstore.extractor.weights.names import left_out

__all__ = ["notes_on"]

SHOWN = 8


def notes_on(
    tensors: Mapping[str, Tensor],
    network: Network,
    source: str,
    *,
    read: Mapping[str, Tensor] | None = None,
) -> list[str]:
    """Return sentences: what is left out of a file, and which numbers become others.

    Parameters
    ----------
    tensors : mapping of name to Tensor
        As they stand in the file; they fit.
    network : Network
    source : str
        The file.
    read : mapping of name to Tensor, or None
        As they stand in the file, where ``tensors`` were put in their places by a library.
    """
    notes = []
    if extra := left_out(tensors, network, source):
        parts = Counter(_part(name) for name in extra)
        listed = ", ".join(f"{part} ({count})" for part, count in parts.most_common(SHOWN))
        more = f" and {len(parts) - SHOWN} more" if len(parts) > SHOWN else ""
        notes.append(
            f"left out {_count(len(extra))} that {network.name} has no place for: {listed}{more}"
        )
    stored = tensors if read is None else read
    kinds = Counter(t.dtype for t in stored.values() if t.is_floating_point())
    for kind, what in (
        (torch.float16, "taken as float32, exactly"),
        (torch.bfloat16, "taken as float32, exactly"),
        (torch.float64, "rounded to float32"),
    ):
        if kinds[kind]:
            notes.append(f"{_count(kinds[kind])} of {str(kind).removeprefix('torch.')}: {what}")
    return notes


def _count(tensors: int) -> str:
    return f"{tensors} tensor" if tensors == 1 else f"{tensors} tensors"


def _part(name: str) -> str:
    """Return what a tensor belongs to, for a listing: head of ``teacher.head.mlp.0.weight``."""
    pieces = name.split(".")
    return ".".join(pieces[: min(2, max(1, len(pieces) - 1))])
