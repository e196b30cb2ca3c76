"""What a training run needs to go on after it was killed: one file, replaced atomically."""

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from fstore.errors import DataError, StorageError
from fstore.extractor.weights.checkpoints import write_atomically

__all__ = ["RunState", "load_state", "save_state"]

FILE = "state.pt"
DIGEST = 64
"""Hex digits of the sha256 before the state proper: a flipped bit of a weight is no error to torch.
States of earlier versions begin with torch's own bytes."""


@dataclass(frozen=True)
class RunState:
    """A run after some iterations.

    Attributes
    ----------
    identity : str
        What the run is: network, recipe, seed, data, initial weights.
    iteration : int
        Iterations done.
    model, optimizer, scaler : dict
        State dicts; the scaler is that of float16's losses, empty without it.
    losses : list of float
        Loss of each iteration's batch.
    validation : list of (int, float)
        Iterations after which the held-out examples were measured, and the values.
    """

    identity: str
    iteration: int
    model: dict[str, Any]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    losses: list[float]
    validation: list[tuple[int, float]]


def save_state(state: RunState, folder: Path) -> None:
    """Write the state; a kill at any moment leaves the old or the new one whole.

    Raises
    ------
    StorageError
        It cannot be written; the old one is kept.
    """
    content = io.BytesIO()
    torch.save({name: getattr(state, name) for name in RunState.__dataclass_fields__}, content)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise StorageError(f"cannot make {folder}: {exc}") from exc
    state_bytes = content.getbuffer()
    digest = hashlib.sha256(state_bytes).hexdigest().encode()
    write_atomically(folder / FILE, digest + state_bytes)


def load_state(folder: Path, identity: str) -> RunState | None:
    """Return the state of a run, or None if it has not got one.

    Raises
    ------
    DataError
        The state is damaged, or belongs to another run.
    """
    path = folder / FILE
    if not path.exists():
        return None
    try:
        content = io.BytesIO(_content(path))
        state = RunState(**torch.load(content, map_location="cpu", weights_only=True))
    except Exception as exc:  # torch raises whatever the broken bytes lead to
        raise DataError(f"training state {path} is damaged; delete it to start anew") from exc
    if state.identity != identity:
        raise DataError(
            f"training state {path} belongs to another run: {state.identity}, now asked for: "
            f"{identity}; delete it to start anew"
        )
    return state


def _content(path: Path) -> memoryview:
    """Return the state proper; its digest must be the one that was written before it."""
    whole = path.read_bytes()
    if whole.startswith(b"PK"):  # of an earlier version
        return memoryview(whole)
    state = memoryview(whole)[DIGEST:]
    if hashlib.sha256(state).hexdigest().encode() != whole[:DIGEST]:
        raise DataError(f"training state {path} is damaged")
    return state
