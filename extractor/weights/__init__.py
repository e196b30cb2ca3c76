"""Sets of weights: read from the formats of others, kept as safetensors."""

from fstore.extractor.weights.checkpoints import load_checkpoint, save_checkpoint, tensors_sha256
from fstore.extractor.weights.matching import MEAN_IMAGE, load_weights, read_mean_image

__all__ = [
    "MEAN_IMAGE",
    "load_checkpoint",
    "load_weights",
    "read_mean_image",
    "save_checkpoint",
    "tensors_sha256",
]
