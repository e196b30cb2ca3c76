"""Table 1: a network trained from scratch, pre-trained, and fine-tuned."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.tasks import task_plot
from fstore.queries.reports._tuned import task_cells, task_needs
from fstore.queries.studies.study import Study
from fstore.queries.studies.tasks import paper_task

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["table1"]

COLUMNS = ("scratch", "pretrain", "finetune")


def needs(store: "Store", study: Study) -> list[Need]:
    """Return a cell for each task and kind of training."""
    parent = study.checkpoint("pretrained")
    kinds = (("scratch", None), ("pretrain", parent), ("ft", parent))
    return task_needs(store, study, dict(zip(COLUMNS, kinds, strict=True)))


@report(
    "table1",
    title="From scratch, pre-trained, fine-tuned",
    answers="What are pre-training and fine-tuning worth to a task?",
    paper="table1.csv",
    paper_row=paper_task,
    columns=COLUMNS,
    needs=needs,
    plot=task_plot(COLUMNS),
)
def table1(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield the percentage that linear SVMs on the top layer reach, by task and kind of training.

    Scene classification (SUN-CLS in the paper): class-averaged accuracy. Classification, which
    the paper's table lacks: mean average precision. SVMs (C = 1e-3) are fitted on train and val;
    run i uses seed i of the split and the checkpoint that was trained for it; pre-training is the
    same in all. Beside it: C chosen on val, and what the networks that have learned the task reach
    with their own outputs (softmax accuracy; mean all-points AP of the sigmoids).

    Detection (PASCAL-DET and, with more data, PASCAL-DET+DATA in the paper): mean average
    precision of R-CNN's detectors, whose SVMs are fitted with mined hard negatives on the study's
    proposals. Beside it: AP over all points and, of a single run, an interval (95 %) over test
    images. Source: the paper's Table 1.
    """
    yield from task_cells(store, needs)
