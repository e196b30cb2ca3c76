"""Table 7 for data sets of one class a sample: class-averaged accuracy under each ablation."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Cell, Need
from fstore.queries.cells.registry import report
from fstore.queries.figures.bars import bar_plot
from fstore.queries.reports._classify import (
    ablations_of,
    accuracies,
    classification_need,
    classified,
    positions,
    samples_of,
)
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["table7_accuracy"]

COLUMNS = ("none", "binarize", "sp_shuffle", "sp_max")


def needs(store: "Store", study: Study) -> list[Need]:
    """Return a cell for each layer and ablation on the scenes, and two on the pre-training set.

    The latter are those of section 5.2: ``mid_layer`` as it is, and after sp-max.
    """
    ckpt, places = study.checkpoint("pretrained"), positions(store, study.network)
    cells = []
    if study.scenes or not study.pretrain:
        samples = samples_of(store, study.bound("scenes"), "image")
        cells = [
            classification_need(
                layer, name, study, samples=samples, ckpt=ckpt, layer=layer, ablation=name
            )
            for layer in study.layers
            for name in ablations_of(places.get(layer))
        ]
    if study.pretrain and (layer := study.mid_layer):
        samples = samples_of(store, study.pretrain, "image")
        row = f"{layer}, pre-training set"
        cells += [
            classification_need(
                row, name, study, samples=samples, ckpt=ckpt, layer=layer, ablation=name
            )
            for name in ("none", "sp_max")
        ]
    return cells


@report(
    "table7_accuracy",
    title="Ablations of magnitude and place, accuracy",
    answers="Is what ablations cost an artifact of few classes, or of average precision?",
    paper="table7_accuracy.csv",
    columns=COLUMNS,
    needs=needs,
    plot=bar_plot(COLUMNS, ylabel="Class-averaged accuracy (percent)"),
    negative="binarized columns have 0 for them, as for what does not respond",
)
def table7_accuracy(store: "Store", needs: Sequence[Need]) -> Iterator[tuple[Need, list[Cell]]]:
    """Yield class-averaged accuracy in percent by layer and ablation.

    One-against-rest linear SVMs (C = 1e-3) fitted on train and val, the class of the highest score
    on test; mean and deviation over the seeds of the split. Beside it: overall accuracy, and C
    chosen on val. sp-shuffle is a mean over five permutations; ``permutations_std`` is the
    deviation over these. Source: the paper's section 5.2 for the row of the pre-training set.
    """
    for need in needs:
        yield need, classified(store, need, accuracies)
