"""What longer pre-training gives (sections 1.1.2, 3.3 and 6; Tables 3 and 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import log

from fstore.queries.findings._api import Facts, Judgement, Snapshot, claim
from fstore.queries.findings._judging import judged, lacking, listed, majority
from fstore.queries.findings._numbers import (
    Number,
    exceeds,
    falls,
    number_text,
    percent,
    single_runs,
)

__all__ = ["bottom_up", "early_gains", "longer_is_better", "longer_then_tuned", "no_overfitting"]

EARLY = ((0.05, 0.8), (0.16, 0.9))
"""Share of the iterations, share of the final value: 15k and 50k of the paper's 305k."""

CLOSE = 0.05
"""The paper calls 87.3 % (conv5 at 50k) close to 90 %."""

FACTOR = 1.5
"""A snapshot stands for a number of iterations that is less than so many times its own."""

KEPT = 0.97
"""Share of its best value that a layer keeps; the paper's conv3 ends at 97.9 % of its best."""

SWEEP = "Table 3's layers at two or more checkpoints along pre-training"


def _along(facts: Facts) -> dict[str, dict[str, Number]]:
    """Return each layer's numbers in Table 3 along the sweep, two at least."""
    order = [snapshot.name for snapshot in facts.sweep]
    found = {}
    for layer in facts.layers:
        row = facts.row("table3", layer)
        mine = {name: row[name] for name in order if name in row}
        if len(mine) > 1 and _ends(mine)[1].value > 0:
            found[layer] = mine
    return found


def _ends(numbers: dict[str, Number]) -> tuple[Number, Number]:
    both = list(numbers.values())
    return both[0], both[-1]


@claim(
    "longer-is-better",
    says="Pre-training for longer gives better features for another data set.",
    sections=("1.1.2", "3.3", "6"),
    reports=("table3",),
    criterion="Mean AP of the top layer is higher at the last checkpoint of the sweep than at the "
    "first, by more than the spread, and higher in most layers.",
)
def longer_is_better(facts: Facts) -> Judgement:
    """Compare the ends of the sweep."""
    along = _along(facts)
    if facts.top_layer not in along:
        return lacking(facts, SWEEP, "table3")
    rises = {layer: exceeds(*reversed(_ends(numbers))) for layer, numbers in along.items()}
    top, (first, last) = facts.top_layer, _ends(along[facts.top_layer])
    names = list(along[top])
    evidence = (
        f"From checkpoint {names[0]} to {names[-1]} mean AP of {top} goes from {first} to {last}; "
        f"it rises in {list(rises.values()).count(True)} of {len(rises)} layers."
    )
    ends = [number for numbers in along.values() for number in _ends(numbers)]
    return judged([rises[top], majority(rises.values())], evidence + single_runs(ends), ends)


@claim(
    "early-gains",
    says="Most of the gain comes early: about 80 % of the final performance by 5 % of the "
    "iterations (15k of 305k) and about 90 % by 16 % of them (50k), in every layer.",
    sections=("3.3",),
    reports=("table3",),
    criterion="Every layer has at least 75 % and 85 % of its final mean AP (the paper's shares "
    "less five points, since it calls 87.3 % close to 90 %) at the snapshots next to 5 % and 16 % "
    "of the iterations; next is within a factor of 1.5.",
)
def early_gains(facts: Facts) -> Judgement:
    """Compare early snapshots with the last one."""
    along = _along(facts)
    end = facts.sweep[-1].iteration if facts.sweep else None
    near = [_nearest(facts.sweep, share * (end or 0)) for share, _ in EARLY]
    found = [
        _early(along, snapshot, end or 0, wanted)
        for snapshot, (_, wanted) in zip(near, EARLY, strict=True)
        if snapshot is not None
    ]
    if len(found) < len(EARLY) or not all(part.numbers for part in found):
        return lacking(facts, f"{SWEEP}, near 5 % and 16 % of its iterations", "table3")
    evidence = " ".join(part.evidence for part in found)
    numbers = [number for part in found for number in part.numbers]
    checks = [check for part in found for check in part.checks]
    return judged(checks, evidence + single_runs(numbers), numbers)


@dataclass(frozen=True, slots=True)
class _Early:
    checks: list[bool | None]
    numbers: list[Number]
    evidence: str


def _early(
    along: Mapping[str, dict[str, Number]], snapshot: Snapshot, end: int, wanted: float
) -> _Early:
    """Compare every layer's value at a snapshot with a share of its final one."""
    pairs = {k: (v[snapshot.name], _ends(v)[1]) for k, v in along.items() if snapshot.name in v}
    if not pairs:
        return _Early([], [], "")
    shares = {layer: now.value / last.value for layer, (now, last) in pairs.items()}
    least = min(shares, key=shares.__getitem__)
    evidence = (
        f"At checkpoint {snapshot.name} ({percent((snapshot.iteration or 0) / end)} of the "
        f"iterations) layers have {percent(shares[least])} ({least}) to "
        f"{percent(max(shares.values()))} of their final mean AP."
    )
    checks = [exceeds(now, last, share=wanted - CLOSE) for now, last in pairs.values()]
    return _Early(checks, [number for pair in pairs.values() for number in pair], evidence)


def _nearest(sweep: Sequence[Snapshot], iterations: float) -> Snapshot | None:
    """Return the snapshot next to a number of iterations, by ratio, if it is near enough."""
    if iterations <= 0:
        return None
    far = {s: abs(log(s.iteration / iterations)) for s in sweep if s.iteration}
    nearest = min(far, key=far.__getitem__, default=None)
    return nearest if nearest is not None and far[nearest] < log(FACTOR) else None


@claim(
    "bottom-up",
    says="Layers converge from the bottom up: the first one first, higher ones later.",
    sections=("3.3",),
    reports=("table3",),
    criterion="The share of its final mean AP that a layer has on average before the last "
    "checkpoint falls with depth (rank correlation -0.75 or less).",
)
def bottom_up(facts: Facts) -> Judgement:
    """Order layers by how near their final value they are along the sweep."""
    along = _along(facts)
    common = [s.name for s in facts.sweep if all(s.name in row for row in along.values())]
    if len(along) < 2 or len(common) < 2:
        return lacking(facts, SWEEP, "table3")
    before, last = common[:-1], common[-1]
    shares = {
        layer: sum(row[name].value for name in before) / len(before) / row[last].value
        for layer, row in along.items()
    }
    order, correlation = falls(list(shares.values()))
    evidence = (
        f"Before checkpoint {last} layers have on average "
        f"{listed({layer: percent(share) for layer, share in shares.items()})} of their final mean "
        f"AP; rank correlation with depth {correlation:.2f}, over {len(shares)} layers and "
        f"{len(before)} checkpoints."
    )
    used = [row[name] for row in along.values() for name in common]
    return judged([order], evidence, used, hidden="The order is not clear.")


@claim(
    "no-overfitting",
    says="Pre-training does not overfit: fitting more to its data set does not hurt transfer, so "
    "stopping early gains nothing.",
    sections=("1.1.2", "3.3"),
    reports=("table3",),
    criterion="At the last checkpoint mean AP of the top layer is at least 97 % of its best along "
    "the sweep, beyond the spread, and no other layer is below that (the paper's conv3 ends at "
    "97.9 % of its best); accuracy on images held out of pre-training, where it is known, has "
    "risen.",
)
def no_overfitting(facts: Facts) -> Judgement:
    """Compare the last checkpoint with the best one, beside accuracy in pre-training."""
    along = _along(facts)
    if facts.top_layer not in along:
        return lacking(facts, SWEEP, "table3")
    best = {k: max(v.values(), key=lambda n: n.value) for k, v in along.items()}
    last = {k: _ends(v)[1] for k, v in along.items()}
    kept = {layer: exceeds(last[layer], best[layer], share=KEPT) for layer in along}
    shares = {layer: last[layer].value / best[layer].value for layer in along}
    least, top = min(shares, key=shares.__getitem__), facts.top_layer
    held = [(s.name, s.held_out) for s in facts.sweep if s.held_out is not None]
    evidence = (
        f"At checkpoint {list(along[top])[-1]} mean AP of {top} is {last[top]}, "
        f"{percent(shares[top])} of its best; of all layers {least} keeps least, "
        f"{percent(shares[least])}. "
    ) + _held_out(held)
    went_on = len(held) < 2 or held[-1][1] > held[0][1]
    checks = [kept[top], kept[least] is not False]
    if not went_on:
        return lacking(facts, "pre-training that improved on held-out images: " + evidence)
    used = [*last.values(), *best.values()]
    return judged(checks, evidence + single_runs(used), used)


def _held_out(held: Sequence[tuple[str, float]]) -> str:
    if len(held) < 2:
        return "Accuracy of pre-training on held-out images is not known."
    (first, low), (last, high) = held[0], held[-1]
    return (
        f"Accuracy of pre-training on held-out images goes from {percent(low)} at {first} to "
        f"{percent(high)} at {last}."
    )


@claim(
    "longer-then-fine-tuned",
    says="Longer pre-training still pays when fine-tuning follows.",
    sections=("3.3",),
    reports=("table4",),
    criterion="Every task is better when fine-tuned from the last checkpoint than from the first, "
    "by more than the spread.",
)
def longer_then_tuned(facts: Facts) -> Judgement:
    """Compare fine-tuning from the first and from the last checkpoint, by task."""
    rows = {}
    for task in facts.names("table4"):
        row = facts.row("table4", task)
        along = {s.name: row[s.name] for s in facts.sweep if s.name in row}
        if len(along) > 1:
            rows[task] = along
    if not rows:
        return lacking(facts, "Table 4 for two or more checkpoints", "table4")
    sentences = []
    for task, along in rows.items():
        (first, last), names = _ends(along), list(along)
        gain = number_text(last.value - first.value)
        sentences.append(f"{task} from {names[0]} {first}, from {names[-1]} {last}: {gain} points")
    ends = [number for along in rows.values() for number in _ends(along)]
    checks = [exceeds(*reversed(_ends(along))) for along in rows.values()]
    return judged(checks, "; ".join(sentences) + "." + single_runs(ends), ends)
