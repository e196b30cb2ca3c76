"""What size and place of responses are worth (sections 1.1.4 and 5; Tables 7, 8, retrieval)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from fstore.queries.findings._api import Facts, Judgement, claim
from fstore.queries.findings._judging import judged, lacking, listed, marked
from fstore.queries.findings._numbers import Number, exceeds, percent, remarks
from fstore.queries.findings._orders import draw_by_draw, falls, over

__all__ = [
    "binary_codes_retrieve",
    "binary_detection",
    "binary_fc",
    "magnitude",
    "magnitude_later",
    "place_by_depth",
    "place_in_classification",
    "place_in_detection",
]

FREE = 0.98
"""Share kept by what is nearly free; the paper's fc6 keeps 99.7 %, fc7 99.5 %, conv5 92.7 %."""

MOST = 0.9
"""Share that binarizing keeps in every layer; ours. The paper's conv5 keeps 92.7, conv1 70.5 %."""

BARELY = 0.95
"""Share that binarizing keeps in detection: 96.0 % in the paper."""

AS_WELL = 0.95
"""Share of real-valued retrieval that binary codes reach; ours, the paper has no number."""

HARDLY = 0.9
"""Share that sp-max keeps in classification: 95.3 % and, on ImageNet, 96.1 % in the paper."""

LARGE = 0.75
"""Share that what hurts detection leaves at most: 53.4 % in the paper."""

Pairs = Mapping[str, tuple[Number, Number]]


def _pairs(facts: Facts, report: str, layers: Sequence[str], *, col: str, of: str) -> Pairs:
    """Return a column's numbers and those that they are compared with, by row."""
    ours, others = (facts.numbers(report, layers, c) for c in (col, of))
    return {
        row: (ours[row], others[row]) for row in ours if row in others and others[row].value > 0
    }


def _absent(
    facts: Facts, report: str, layers: Sequence[str], *, pairs: Pairs, cols: Sequence[str]
) -> list[str]:
    """Return those of some layers that the study asks for, and that are not among the pairs."""
    return [row for row in facts.absent(report, pairs, *cols) if row in layers]


def _kept(
    pairs: Pairs, share: float, what: str, *, much: bool = True, missing: Sequence[str] = ()
) -> Judgement:
    """Judge whether numbers are above (``much``) or below a share of others."""
    checks = [exceeds(ablated, whole, share=share) for ablated, whole in pairs.values()]
    evidence = " ".join(
        f"{row}: {what} {ablated}, {percent(ablated.value / whole.value)} of {whole}."
        for row, (ablated, whole) in pairs.items()
    )
    wanted = checks if much else [None if check is None else not check for check in checks]
    numbers = [
        number
        for check, pair in zip(wanted, pairs.values(), strict=True)
        for number in marked(check, *pair)
    ]
    return judged(wanted, evidence + remarks(numbers), numbers, missing=missing)


@claim(
    "binarizing-is-nearly-free-at-fc",
    says="In fully connected layers, whether a filter fires is nearly as good for classification "
    "as how strongly.",
    sections=("1.1.4", "5.1"),
    reports=("table7",),
    criterion="Binarized, every fully connected layer keeps at least 98 % of its mean AP (99.7 % "
    "and 99.5 % in the paper), beyond the spread.",
)
def binary_fc(facts: Facts) -> Judgement:
    """Compare binarized responses with plain ones."""
    return _binarized(facts, facts.flat, FREE, needed="Table 7 for fully connected layers")


@claim(
    "magnitude-is-unimportant",
    says="How strongly a filter fires is largely unimportant: binarizing barely degrades "
    "performance.",
    sections=("1.1.4", "5.1"),
    reports=("table7",),
    criterion="Binarized, every layer keeps at least 90 % of its mean AP, beyond the spread (our "
    "share: in the paper conv2 and above keep 92.7 % and more, but conv1 70.5 %, 17.7 of 25.1: by "
    "its own numbers this does not hold of every layer).",
)
def magnitude(facts: Facts) -> Judgement:
    """Compare binarized responses with plain ones, in every layer."""
    return _binarized(facts, facts.layers, MOST, needed="Table 7")


@claim(
    "magnitude-is-unimportant-from-the-middle-on",
    says="From the mid layer on, how strongly a filter fires is largely unimportant.",
    sections=("5.1",),
    reports=("table7",),
    criterion="Binarized, the mid layer and every deeper one keep at least 90 % of their mean AP, "
    "beyond the spread (our share: 92.7 %, 99.7 % and 99.5 % in the paper).",
)
def magnitude_later(facts: Facts) -> Judgement:
    """Compare binarized responses with plain ones, from the mid layer on."""
    layers = facts.from_middle
    return _binarized(facts, layers, MOST, needed="Table 7 from the mid layer on")


def _binarized(facts: Facts, layers: Sequence[str], share: float, *, needed: str) -> Judgement:
    """Judge whether layers keep a share of their mean AP in Table 7 when they are binarized."""
    pairs = _pairs(facts, "table7", layers, col="binarize", of="none")
    if not pairs:
        return lacking(facts, needed, "table7")
    missing = _absent(facts, "table7", layers, pairs=pairs, cols=("binarize", "none"))
    return _kept(pairs, share, "binarized", missing=missing)


@claim(
    "binarizing-barely-hurts-detection",
    says="Binarizing costs detection little, too.",
    sections=("5.1",),
    reports=("table8",),
    criterion="Binarized, the layer of Table 8 keeps at least 95 % of its mean AP in detection "
    "(96.0 % in the paper), beyond the bootstrap's standard deviation over test images.",
)
def binary_detection(facts: Facts) -> Judgement:
    """Compare binarized responses with plain ones."""
    pairs = _pairs(facts, "table8", facts.names("table8"), col="binarize", of="none")
    if not pairs:
        return lacking(facts, "Table 8", "table8")
    return _kept(pairs, BARELY, "binarized")


@claim(
    "binary-codes-retrieve-as-well",
    says="Sparse binary codes come for free, and retrieve images as well as the features.",
    sections=("1.1.4", "5.1"),
    reports=("retrieval",),
    criterion="In every fully connected layer, retrieval by Hamming distance of binary codes has "
    "at least 95 % of the mean AP of retrieval by cosine of the features (our share: the paper has "
    "no number), beyond the standard errors of the means over queries.",
)
def binary_codes_retrieve(facts: Facts) -> Judgement:
    """Compare binary codes with features."""
    plain = _pairs(facts, "retrieval", facts.flat, col="hamming", of="cosine")
    if not plain:
        return lacking(facts, "retrieval with a fully connected layer", "retrieval")
    pairs = {row: (a.of_mean, b.of_mean) for row, (a, b) in plain.items()}
    missing = _absent(facts, "retrieval", facts.flat, pairs=pairs, cols=("hamming", "cosine"))
    judged = _kept(pairs, AS_WELL, "binary codes", missing=missing)
    return replace(judged, evidence=f"{judged.evidence} ± is the standard error over queries.")


@claim(
    "place-hardly-matters-in-classification",
    says="Where in its map a filter fires matters little for classification with mid-level "
    "features.",
    sections=("1.1.4", "5.2"),
    reports=("table7", "table7_accuracy"),
    criterion="After sp-max the mid layer keeps at least 90 % of its mean AP and, where these are "
    "known, of its accuracy on scenes and on the pre-training set (95.3 % and 96.1 % in the "
    "paper), beyond the spread.",
)
def place_in_classification(facts: Facts) -> Judgement:
    """Compare the largest response of a map with the whole of it."""
    mid = facts.mid_layer
    rows = (mid, f"{mid}, pre-training set")
    aps, accuracies = (
        _pairs(facts, report, rows, col="sp_max", of="none")
        for report in ("table7", "table7_accuracy")
    )
    pairs = {f"{row} (mean AP)": pair for row, pair in aps.items()}
    pairs |= {f"{row} (accuracy)": pair for row, pair in accuracies.items()}
    if not pairs:
        return lacking(facts, "Table 7 for the mid layer", "table7", "table7_accuracy")
    missing = _absent(facts, "table7", (mid,), pairs=aps, cols=("sp_max", "none"))
    return _kept(pairs, HARDLY, "after sp-max", missing=missing)


@claim(
    "place-matters-in-detection",
    says="Where in its map a filter fires is critical for detection.",
    sections=("1.1.4", "5.2"),
    reports=("table8",),
    criterion="After sp-max the layer of Table 8 keeps at most 75 % of its mean AP in detection "
    "(53.4 % in the paper), beyond the bootstrap's standard deviation over test images.",
)
def place_in_detection(facts: Facts) -> Judgement:
    """Compare the largest response of a map with the whole of it."""
    pairs = _pairs(facts, "table8", facts.names("table8"), col="sp_max", of="none")
    if not pairs:
        return lacking(facts, "Table 8", "table8")
    return _kept(pairs, LARGE, "after sp-max", much=False)


@claim(
    "place-matters-less-with-depth",
    says="Shuffling the places of a map costs classification much in the first layer, and less "
    "from layer to layer.",
    sections=("5.2",),
    reports=("table7",),
    criterion="The share of its mean AP that a layer loses by sp-shuffle falls with depth (rank "
    "correlation -0.75 or less; 39.8 % in conv1 to 9.3 % in conv5 in the paper), in 84 % of the "
    "draws of the test samples, too, where every layer is clear of chance as it is. At 0 or more "
    "in as many draws it does not.",
)
def place_by_depth(facts: Facts) -> Judgement:
    """Order layers by what shuffling costs."""
    layers = tuple(layer for layer in facts.layers if layer not in facts.flat)
    pairs = _pairs(facts, "table7", layers, col="sp_shuffle", of="none")
    if not pairs:
        return lacking(facts, "Table 7 for layers with maps", "table7")
    losses = {row: 1 - shuffled.value / whole.value for row, (shuffled, whole) in pairs.items()}
    used = [number for pair in pairs.values() for number in pair]
    draws = draw_by_draw(
        used, lambda at: [1 - over(*two) for two in zip(at[::2], at[1::2], strict=True)]
    )
    order, correlation = falls(list(losses.values()), draws)
    shown = listed({row: percent(loss) for row, loss in losses.items()})
    evidence = (
        f"Shuffled, layers lose {shown} of their mean AP; rank correlation with depth "
        f"{correlation:.2f} over {len(losses)} layers."
    )
    wholes = [whole for _, whole in pairs.values()]
    check = order if all(n.is_clear for n in wholes) else None
    evidence += remarks(wholes)
    missing = _absent(facts, "table7", layers, pairs=pairs, cols=("sp_shuffle", "none"))
    return judged([check], evidence, used, hidden="The order is not clear.", missing=missing)
