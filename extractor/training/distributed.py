"""Several processes that share a training: each takes its rows of the same batches.

The processes agree on gradients and losses by torch's DistributedDataParallel; the weights that
come out are those of one process, up to the order of sums.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from fstore.errors import DataError

__all__ = ["ALONE", "Processes", "RowDropout", "share_batches", "together"]


@dataclass(frozen=True, slots=True)
class Processes:
    """How many processes train together, and which of them this one is.

    Attributes
    ----------
    rank, world : int
        This process's number, from 0, and how many there are. Rank 0 alone writes.
    local_rank : int
        Its number on this machine: the GPU that it takes.
    """

    rank: int = 0
    world: int = 1
    local_rank: int = 0

    def rows(self, batch_size: int) -> slice:
        """Return the rows of a batch that are this process's."""
        bounds = [batch_size * rank // self.world for rank in (self.rank, self.rank + 1)]
        return slice(*bounds)

    def parallel(self, model: nn.Module) -> nn.Module:
        """Return the model as one whose gradients are the mean over the processes."""
        if self.world == 1:
            return model
        ids = [self.local_rank] if next(model.parameters()).is_cuda else None
        return nn.parallel.DistributedDataParallel(model, device_ids=ids, static_graph=True)

    def mean(self, value: Tensor) -> Tensor:
        """Return the mean of a number over the processes."""
        if self.world == 1:
            return value.detach()
        total = value.detach().clone()
        torch.distributed.all_reduce(total)
        return total / self.world

    def wait(self) -> None:
        """Return when all processes have come here."""
        if self.world > 1:
            torch.distributed.barrier()


ALONE = Processes()


@contextmanager
def together(processes: Processes, *, device: str) -> Iterator[None]:
    """Connect the processes of a training while the context lasts.

    Parameters
    ----------
    processes : Processes
        As ``torchrun`` numbers them; its other variables say where they meet.
    device : str
        ``cuda...``: they talk by NCCL, else by gloo.

    Raises
    ------
    DataError
        There are more processes than GPUs.
    """
    if processes.world == 1:
        yield
        return
    on_gpu = device.startswith("cuda")
    if on_gpu:
        if processes.local_rank >= torch.cuda.device_count():
            raise DataError(
                f"process {processes.local_rank} of this machine has no GPU; there are "
                f"{torch.cuda.device_count()}: start as many with torchrun --nproc-per-node"
            )
        torch.cuda.set_device(processes.local_rank)
    torch.distributed.init_process_group(
        "nccl" if on_gpu else "gloo", rank=processes.rank, world_size=processes.world
    )
    try:
        yield
    finally:
        torch.distributed.destroy_process_group()


class RowDropout(nn.Module):
    """Dropout whose mask is drawn for a whole batch, of which a process uses its rows.

    Parameters
    ----------
    p : float
        Share of responses that become 0.
    processes : Processes
    batch_size : int
        Of all processes together.
    """

    def __init__(self, p: float, processes: Processes, batch_size: int) -> None:
        super().__init__()
        self.p, self.batch_size = p, batch_size
        self.rows = processes.rows(batch_size)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``x``, (B, ...), with responses dropped and the others scaled by 1 / (1 - p)."""
        if not self.training or self.p == 0:
            return x
        if len(x) != self.rows.stop - self.rows.start:  # its first axis is not the batch's
            return functional.dropout(x, self.p)
        kept = x.new_empty((self.batch_size, *x.shape[1:])).bernoulli_(1 - self.p)
        return x * kept.div_(1 - self.p)[self.rows]


def share_batches(model: nn.Module, processes: Processes, batch_size: int) -> nn.Module:
    """Return the model with layers that look at whole batches made to see all processes' rows.

    Dropout is replaced by :class:`RowDropout`, for one process as well, so that masks do not
    depend on how many there are; batch normalisation by torch's synchronised one, which exists
    on GPUs only: on CPUs each process normalises its own rows.
    """
    for path, module in list(model.named_modules()):
        if path and type(module) is nn.Dropout:
            model.set_submodule(path, RowDropout(module.p, processes, batch_size))
    if processes.world > 1 and any(p.is_cuda for p in model.parameters()):
        return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-any-return, no-untyped-call]
    return model
