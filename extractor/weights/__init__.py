"""Sets of weights: read from the formats of others, kept as safetensors."""

from fstore.extractor.weights.checkpoints import (
    load_checkpoint,
    network_of,
    read_checkpoint,
    save_checkpoint,
    tensors_sha256,
    with_weights,
)
from fstore.extractor.weights.choosing import choose_state
from fstore.extractor.weights.matching import (
    MEAN_IMAGE,
    fit,
    load_weights,
    network_for,
    read_mean_image,
)
from fstore.extractor.weights.notes import notes_on
from fstore.extractor.weights.readers import read_states, read_tensors

__all__ = [
    "MEAN_IMAGE",
    "choose_state",
    "fit",
    "load_checkpoint",
    "load_weights",
    "network_for",
    "network_of",
    "notes_on",
    "read_checkpoint",
    "read_mean_image",
    "read_states",
    "read_tensors",
    "save_checkpoint",
    "tensors_sha256",
    "with_weights",
]
