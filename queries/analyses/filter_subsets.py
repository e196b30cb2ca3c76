"""Distributed codes: how many filters a class takes (section 4.2)."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from fstore.errors import DataError
from fstore.queries.analyses._api import Row, analysis
from fstore.types import OnProgress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from fstore.queries.methods.filters import Subsets
    from fstore.queries.samples.single import Responses
    from fstore.store import Store

__all__ = ["class_subsets", "draw_fractions", "filter_subsets", "plot_filter_subsets"]


def class_subsets(
    found: "Responses", *, on_progress: OnProgress | None = None
) -> "dict[str, Subsets]":
    """Return the average precision of nested subsets of filters, by class.

    Learned on train and val, tested on test; responses scaled by one factor to a mean norm of 20
    over the samples that are learned from. Classes that cannot be learned or tested are left out.

    Parameters
    ----------
    found : Responses
    on_progress : callable or None

    Raises
    ------
    DataError
        No class can be learned and tested; no filter responds.
    """
    from fstore.queries.methods.filters import factor, subset_aps

    fitted, test = found.split.fitted, found.split.test
    scale = factor(found.X[fitted])
    train, held_out = found.X[fitted] * scale, found.X[test] * scale
    subsets = {}
    for c, name in enumerate(found.classes):
        one = subset_aps(train, found.Y[fitted, c], held_out, found.Y[test, c])
        if one is not None:
            subsets[name] = one
        if on_progress is not None:
            on_progress("subsets of filters", c + 1, len(found.classes), name)
    if not subsets:
        raise DataError(
            "no class has a positive and a negative sample to learn from and a positive one to "
            f"test on, among {len(fitted)} training and {len(test)} test samples"
        )
    return subsets


def plot_filter_subsets(rows: Sequence[Row], *, ax: "Axes | None" = None) -> "Axes":
    """Draw the fraction of the complete AP against the number of filters, a panel a class.

    Parameters
    ----------
    rows : sequence of mapping
        Rows of the analysis.
    ax : Axes or None
        Where to draw; None makes a figure.

    Returns
    -------
    Axes
    """
    lines = {
        (str(row["class"]), ""): (
            [r["filters"] for r in rows if r["class"] == row["class"]],
            [r["fraction"] for r in rows if r["class"] == row["class"]],
        )
        for row in rows
    }
    return draw_fractions(lines, ax=ax)


def draw_fractions(
    lines: dict[tuple[str, str], tuple[list[int], list[float]]], *, ax: "Axes | None" = None
) -> "Axes":
    """Draw fractions of the complete AP, a panel a class, a line a checkpoint.

    Parameters
    ----------
    lines : dict
        (class, role) to numbers of filters and fractions; role ``finetuned`` is solid, others
        dashed. The axis of filters is logarithmic: most happens among the first ten.
    ax : Axes or None
    """
    from fstore.queries.figures.plots import panels

    classes = list(dict.fromkeys(name for name, _ in lines))
    frame, drawn = panels(ax, len(classes), n_columns=5, size=(1.7, 1.5), sharex=True, sharey=True)
    roles = list(dict.fromkeys(role for _, role in lines))
    for name, panel in zip(classes, drawn, strict=True):
        for role in roles:
            if (name, role) in lines:
                style = "-" if role == "finetuned" else "--"
                shade = "black" if role == "finetuned" else "0.35"
                panel.plot(*lines[name, role], linestyle=style, color=shade, linewidth=1.2)
        for share in (0.5, 0.9):
            panel.axhline(share, color="0.6", linewidth=0.6, linestyle=":")
        panel.set_xscale("log")
        panel.set_title(name, fontsize="small")
        panel.set_ylim(0, 1.25)
    figure = frame.get_figure(root=True)
    if figure is not None:
        styles = {"finetuned": "solid: fine-tuned", "pretrained": "dashed: pre-trained"}
        named = [styles[role] for role in roles if role in styles]
        note = "; ".join([*named, "dotted: 50 % and 90 %"])
        figure.supxlabel(f"Number of filters (log scale; {note})", fontsize="small")
        figure.supylabel("Fraction of the complete average precision", fontsize="small")
    return frame


@analysis(
    "filter-subsets",
    title="Average precision of nested subsets of filters",
    source="section 4.2, Figure 4 and Tables 5 and 10",
    columns=("class", "filters", "ap_11", "ap_all", "fraction", "last_channel", "converged"),
    plot=plot_filter_subsets,
)
def filter_subsets(
    store: "Store",
    *,
    layer: str,
    ckpt: str,
    dataset: str,
    view: str = "gt",
    network: str | None = None,
    split: str = "official",
    seed: int = 0,
    difficult: bool = False,
    on_progress: OnProgress | None = None,
) -> list[dict[str, Any]]:
    """Rank filters by their weight in an SVM and give the AP of the first 1, 2, 3, 5, ... of them.

    Parameters
    ----------
    store : Store
        Where the activations are.
    layer : str
        Layer whose filters are studied.
    ckpt : str
        Checkpoint, as NAME or NETWORK/NAME.
    dataset : str
        Data set.
    view : str
        gt (ground-truth boxes), image (whole images) or proposal.
    network : str or None
        Network, where several have a checkpoint of this name.
    split : str
        official or random.
    seed : int
        Which of the random splits.
    difficult : bool
        Keep boxes that are flagged difficult.
    on_progress : callable or None
        Told of long work.

    Returns
    -------
    list of dict
        A row a class and size: AP on test, 0 to 1, its fraction of the AP of all filters, the
        channel that the size added last, and whether the SVMs converged. A class that cannot be
        learned or tested has no rows.

    Raises
    ------
    UnknownNameError
        Activations or the split are not there; the message has the command that makes them.
    DataError
        A response is NaN or infinite; no filter responds; no class can be learned and tested.
    """
    from fstore.queries.samples.single import find_responses

    found = find_responses(
        store,
        layer=layer,
        ckpt=ckpt,
        dataset=dataset,
        view=view,
        network=network,
        split=split,
        seed=seed,
        difficult=difficult,
    )
    return [
        {
            "class": name,
            "filters": k,
            "ap_11": subsets.ap_11[i],
            "ap_all": subsets.ap_all[i],
            "fraction": subsets.fractions[i],
            "last_channel": int(subsets.ranking[k - 1]),
            "converged": subsets.converged,
        }
        for name, subsets in class_subsets(found, on_progress=on_progress).items()
        for i, k in enumerate(subsets.sizes)
    ]
