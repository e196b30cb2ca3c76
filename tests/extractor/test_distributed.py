"""Several processes share a batch: their rows, their dropout, their mean."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fstore.errors import DataError
from fstore.extractor.networks import Network
from fstore.extractor.preprocess import Preprocess
from fstore.extractor.training import (
    ALONE,
    ArrayExamples,
    Processes,
    Recipe,
    TrainingData,
    train,
)
from fstore.extractor.training.distributed import RowDropout, share_batches


@pytest.mark.parametrize(("batch_size", "world"), [(8, 1), (8, 2), (7, 3), (256, 8), (5, 5)])
def test_rows_cover_the_batch_once(batch_size: int, world: int) -> None:
    """The processes' rows follow one another, cover the batch and differ by at most one."""
    parts = [list(range(batch_size))[Processes(r, world).rows(batch_size)] for r in range(world)]
    assert [row for part in parts for row in part] == list(range(batch_size))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_processes_load_their_part_of_one_batch() -> None:
    """Rows of a batch are those of the whole batch: same examples, crops and mirroring."""
    X = torch.randn(9, 3, 8, 8, generator=torch.Generator().manual_seed(0)).numpy()
    examples = ArrayExamples(X, torch.arange(9).numpy())
    how = {"seed": 3, "iteration": 2, "size": 5, "mirror": True}
    whole_X, whole_y = examples.batch(7, **how)  # type: ignore[arg-type]
    for rank in range(3):
        rows = Processes(rank, 3).rows(7)
        part_X, part_y = examples.batch(7, rows=rows, **how)  # type: ignore[arg-type]
        assert (part_X == whole_X[rows]).all()
        assert (part_y == whole_y[rows]).all()


def test_one_process_drops_what_torch_drops() -> None:
    """For one process on a CPU the mask is bit for bit that of torch's own dropout."""
    x = torch.randn(6, 50)
    ours = RowDropout(0.3, ALONE, batch_size=6).train()
    torch.manual_seed(1)
    found = ours(x)
    torch.manual_seed(1)
    assert torch.equal(found, functional.dropout(x, 0.3))
    assert torch.equal(ours.eval()(x), x)


def test_processes_drop_the_rows_of_one_mask() -> None:
    """Two processes with one seed together drop what a single one drops, layer after layer."""

    def dropped(processes: Processes) -> torch.Tensor:
        x = torch.ones(8, 40)[processes.rows(8)]
        model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.2))
        torch.manual_seed(2)
        result: torch.Tensor = share_batches(model, processes, 8).train()(x)
        return result

    parts = [dropped(Processes(rank, 2)) for rank in range(2)]
    assert torch.equal(torch.cat(parts), dropped(ALONE))
    assert 0.3 < (dropped(ALONE) > 0).float().mean() < 0.5  # 0.4 are kept


def test_a_batch_must_have_a_row_for_each(tmp_path: Path) -> None:
    """More processes than examples in a batch is a named error."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(48, 2)).eval()
    network = Network("toy", model, Preprocess(size=4, resize=4), {})
    examples = ArrayExamples(torch.zeros(4, 3, 4, 4).numpy(), np.arange(4) % 2)
    with pytest.raises(DataError, match="a batch of 2 cannot be shared by 3 processes"):
        list(train(network, TrainingData(examples, examples), recipe=Recipe(lr=0.1, batch_size=2),
                   iterations=1, snapshots=[], seed=0, state_dir=tmp_path,
                   processes=Processes(0, 3)))  # fmt: skip
