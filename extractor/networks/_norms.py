"""Normalisation across channels that takes less time on a CPU than torch's."""

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["SummedNorm"]


class SummedNorm(nn.LocalResponseNorm):
    """torch's LocalResponseNorm as a sum of shifted squares; equal up to rounding.

    torch takes the mean by a three-dimensional pooling, which is slow on a CPU and in
    channels_last.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002
        """Divide responses of shape (N, C, H, W) by a power of what their neighbours sum to."""
        channels = input.shape[1]
        before, after = self.size // 2, (self.size - 1) // 2
        squares = functional.pad(input * input, (0, 0, 0, 0, before, after))
        total = squares[:, :channels]
        for shift in range(1, self.size):
            total = total + squares[:, shift : shift + channels]
        return input * torch.pow(total * (self.alpha / self.size) + self.k, -self.beta)
