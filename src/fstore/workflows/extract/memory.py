"""How much of an extraction is in memory: samples of a shard, batches ahead, shards behind.

Responses are held from the forward pass until they are written, one shard in the making and one or
two behind. Inputs are decoded ahead. An option bounds both together; weights, and what the network
computes of a batch, come on top.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from fstore.errors import DataError
from fstore.machine import machine_memory
from fstore.types import LayerSpec

__all__ = ["BEHIND", "Room", "kept_bytes", "round_number"]

AHEAD = 2
"""Batches that are decoded while one is computed, where there is room."""
BEHIND = 2
"""Shards that are written while one is computed, where there is room and several threads encode."""
SUMMARIES = 24
"""Bytes of a map's summaries: act_max, act_sum, nnz, npos, argmax."""


@dataclass(frozen=True, kw_only=True)
class Room:
    """What fits into the memory of one process.

    Attributes
    ----------
    memory : int or None
        Bytes for responses and inputs, of the option; a quarter is for inputs. None: shards and
        batches have their usual sizes, and half of the machine says how many shards are in hand.
    kept, inputs : int
        Bytes of one sample: of its responses until they are written, of what the network is given.
    """

    memory: int | None
    kept: int
    inputs: int

    def samples(self, usual: int) -> int:
        """Return the samples of a shard: as many as usual, less where two shards do not fit.

        Raises
        ------
        DataError
            Not even one sample fits.
        """
        if self.memory is None:
            return usual
        fit = self._for_shards(self.memory) // (2 * self.kept)
        if fit < 1:
            raise DataError(
                f"--memory of {self.memory} bytes is too little: the responses of a sample take "
                f"{self.kept} bytes; give at least {-(-8 * self.kept // 3)}, or fewer layers"
            )
        return min(usual, round_number(fit))

    def batch(self, usual: int) -> int:
        """Return the samples of a batch: as many as usual, less where two batches do not fit."""
        if self.memory is None:
            return usual
        fit = self.memory // 4 // (2 * self.inputs)
        return usual if fit >= usual else max(1, round_number(fit))

    def check_batch(self, asked: int | None) -> None:
        """Refuse a size of batches that was asked for and does not fit.

        Raises
        ------
        DataError
            Two batches of it take more than a quarter of the memory; the message says what fits.
        """
        if asked is None or self.memory is None or (fit := self.batch(asked)) == asked:
            return
        raise DataError(
            f"--batch-size {asked} does not fit into --memory of {self.memory} bytes: two batches "
            f"may take a quarter of it, and a sample takes {self.inputs} bytes; give --batch-size "
            f"{fit}, or --memory {8 * self.inputs * asked}, or leave one of them out"
        )

    def ahead(self, batch: int) -> int:
        """Return how many batches are decoded while one of ``batch`` samples is computed."""
        if self.memory is None:
            return AHEAD
        return max(1, min(AHEAD, self.memory // 4 // (batch * self.inputs) - 1))

    def behind(self, samples: int, *, encoders: int) -> int:
        """Return how many shards of so many samples may be written while one is computed."""
        if encoders == 1:
            return 1
        memory = machine_memory() // 2 if self.memory is None else self.memory
        return max(1, min(BEHIND, self._for_shards(memory) // (samples * self.kept) - 1))

    def _for_shards(self, memory: int) -> int:
        return memory - memory // 4


def kept_bytes(specs: Sequence[LayerSpec]) -> int:
    """Return the bytes of one sample's responses until they are written."""
    return sum(
        4 * s.values if s.positions == 1 else 4 * s.values + SUMMARIES * s.channels for s in specs
    )


def round_number(n: int) -> int:
    """Return the largest 2^k or 3 x 2^k that is at most ``n``, and at least 1."""
    low = max(0, n.bit_length() - 2)
    return max(1, n >> low << low)
