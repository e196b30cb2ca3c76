"""What longer pre-training gives (sections 1.1.2, 3.3 and 6; Tables 3 and 4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import hypot, inf, log

from fstore.queries.findings._api import Facts, Judgement, SweepPoint, claim
from fstore.queries.findings._judging import (
    HIDDEN,
    judged,
    lacking,
    listed,
    majority,
    marked,
    together,
)
from fstore.queries.findings._numbers import (
    Number,
    exceeds,
    number_text,
    percent,
    remarks,
)
from fstore.queries.findings._orders import draw_by_draw, falls, over

__all__ = [
    "bottom_up",
    "diminishing_returns",
    "early_gains",
    "first_layer_early",
    "longer_is_better",
    "longer_then_tuned",
    "no_overfitting",
]

EARLY = ((0.05, 0.8), (0.16, 0.9))
"""Share of the iterations, share of the final value: 15k and 50k of the paper's 305k."""

CLOSE = 0.05
"""The paper calls 87.3 % (conv5 at 50k) close to 90 %."""

NEAR = 0.95
"""Share of its final value at which the first layer is called near; ours."""

FACTOR = 1.5
"""A snapshot stands for a number of iterations that is less than so many times its own."""

KEPT = 0.97
"""Share of its best value that a layer keeps; the paper's conv3 ends at 97.9 % of its best."""

NO_GAIN = " The top layer gains nothing, beyond the spread, from the first checkpoint to the last."

OPEN = "The answer is open."

SWEEP = "Table 3's layers along pre-training, from its first checkpoint to its last"

Along = Mapping[str, Mapping[str, Number]]
"""Row -> checkpoint -> number, in the order of the sweep."""


def _along(facts: Facts) -> Along:
    """Return the layers of Table 3 that are whole: all that the study asks, both ends, and not 0.

    What a layer has at the last checkpoint that happens to be computed is not its final value.
    """
    order = [snapshot.name for snapshot in facts.sweep]
    rows = {layer: _in_order(facts, "table3", layer) for layer in facts.layers}
    return {
        layer: row
        for layer, row in rows.items()
        if len(row) > 1 and order[0] in row and _ends(row)[1].value > 0
    }


def _in_order(facts: Facts, report: str, name: str) -> dict[str, Number]:
    """Return a row along the sweep, or nothing if it lacks the last or what the study asks."""
    row, wanted = facts.row(report, name), facts.wanted.get(report, set())
    order = [snapshot.name for snapshot in facts.sweep]
    needed = [*order[-1:], *(ckpt for ckpt in order if (name, ckpt) in wanted)]
    return {k: row[k] for k in order if k in row} if all(k in row for k in needed) else {}


def _absent(facts: Facts, along: Along) -> list[str]:
    return [layer for layer in facts.layers if layer not in along]


def _ends(numbers: Mapping[str, Number]) -> tuple[Number, Number]:
    both = list(numbers.values())
    return both[0], both[-1]


@claim(
    "longer-is-better",
    says="Pre-training for longer gives better features for another data set.",
    sections=("1.1.2", "3.3", "6"),
    reports=("table3",),
    criterion="Mean AP of the top layer is higher at the last checkpoint of the sweep than at the "
    "first, by more than the spread, and higher in most layers; all layers must be known.",
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
    ends = [n for layer, row in along.items() for n in marked(rises[layer], *_ends(row))]
    missing = _absent(facts, along)
    most = majority([*rises.values(), *[None for _ in missing]])
    return judged([rises[top], most], evidence + remarks(ends), ends, missing=missing)


@claim(
    "diminishing-returns",
    says="Pre-training for longer has diminishing returns.",
    sections=("1.1.2",),
    reports=("table3",),
    criterion="Mean AP of the top layer rises along the sweep, and by less for each iteration "
    "after the snapshot next to 16 % of the iterations (50k of the paper's 305k) than from the "
    "first snapshot to it, beyond the spread; next is within a factor of 1.5.",
)
def diminishing_returns(facts: Facts) -> Judgement:
    """Compare what an iteration gains early with what it gains late."""
    top, row = facts.top_layer, _along(facts).get(facts.top_layer, {})
    snapshots = [s for s in facts.sweep if s.name in row]
    middle = _nearest(snapshots, EARLY[1][0] * (snapshots[-1].iteration or 0)) if row else None
    if middle is None or middle in (snapshots[0], snapshots[-1]) or not _dated(snapshots):
        return lacking(facts, f"{SWEEP}, and near 16 % of its iterations", "table3")
    chosen = (snapshots[0], middle, snapshots[-1])
    names, three = [s.name for s in chosen], [row[s.name] for s in chosen]
    steps = [s.iteration or 0 for s in chosen]
    early, late = (_gain(a, b) for a, b in zip(three[1:], three[:-1], strict=True))
    share = (steps[1] - steps[0]) / (steps[2] - steps[1])
    slower = exceeds(early, late, share=share)
    gained = exceeds(three[2], three[0]) is True
    evidence = (
        f"Mean AP of {top} goes from {three[0]} at {names[0]} to {three[1]} at {names[1]} and "
        f"{three[2]} at {names[2]}: {_rate(early, steps[:2])} points for each 1000 iterations, "
        f"then {_rate(late, steps[1:])}." + ("" if gained else NO_GAIN)
    )
    check, hidden = (slower, HIDDEN) if gained else (None, OPEN)
    used = marked(check, *three)
    return judged([check], evidence + remarks(three), used, hidden=hidden)


def _dated(snapshots: Sequence[SweepPoint]) -> bool:
    """Say whether the iterations of all are known, and rise."""
    steps = [s.iteration for s in snapshots if s.iteration is not None]
    return len(steps) == len(snapshots) and steps == sorted(set(steps))


def _gain(later: Number, earlier: Number) -> Number:
    """Return the difference of two numbers with its spread."""
    std = None if later.tests is None or later.draws else later.tests.apart
    if later.std is not None and earlier.std is not None:
        std = hypot(later.std, earlier.std)
    draws = tuple(a - b for a, b in zip(later.draws, earlier.draws, strict=False))
    # whether these numbers are clear of chance is asked of the numbers themselves
    return replace(later, value=later.value - earlier.value, std=std, draws=draws, chance=-inf)


def _rate(gain: Number, steps: Sequence[int]) -> str:
    return number_text(1000 * gain.value / (steps[1] - steps[0]))


@claim(
    "early-gains",
    says="Most of the gain comes early: about 80 % of the final performance by 5 % of the "
    "iterations (15k of 305k) and about 90 % by 16 % of them (50k), in every layer.",
    sections=("3.3",),
    reports=("table3",),
    criterion="Every layer has at least 75 % and 85 % of its final mean AP (the paper's shares "
    "less five points, since it calls 87.3 % close to 90 %) at the snapshots next to 5 % and 16 % "
    "of the iterations; next is within a factor of 1.5. Open unless the top layer gains from the "
    "first to the last.",
)
def early_gains(facts: Facts) -> Judgement:
    """Compare early snapshots with the last one."""
    along = _along(facts)
    end = facts.sweep[-1].iteration if facts.sweep else None
    near = [_nearest(facts.sweep, share * (end or 0)) for share, _ in EARLY]
    early = [
        _early(along, snapshot, end=end or 0, wanted=wanted)
        for snapshot, (_, wanted) in zip(near, EARLY, strict=True)
        if snapshot is not None
    ]
    compared = set(along).intersection(*(part.numbers for part in early))
    if len(early) < len(EARLY) or facts.top_layer not in compared:
        return lacking(facts, f"{SWEEP}, and near 5 % and 16 % of its iterations", "table3")
    gained = exceeds(*reversed(_ends(along[facts.top_layer]))) is True
    evidence = " ".join(part.evidence for part in early) + ("" if gained else NO_GAIN)
    numbers, checks = [], []
    for layer in (k for k in along if k in compared):
        kept = together([part.checks[layer] for part in early])
        checks.append(kept if gained else None)
        numbers += marked(checks[-1], *(n for part in early for n in part.numbers[layer]))
    missing = [layer for layer in facts.layers if layer not in compared]
    return judged(
        checks,
        evidence + remarks(numbers),
        numbers,
        hidden=HIDDEN if gained else OPEN,
        missing=missing,
    )


@claim(
    "first-layer-is-early",
    says="The first layer is near its final state after 5 % of the iterations (15k of 305k).",
    sections=("3.3",),
    reports=("table3",),
    criterion="At the snapshot next to 5 % of the iterations (within a factor of 1.5) the first "
    "layer has at least 95 % of its final mean AP (our share: 99.6 % in the paper, which shows its "
    "filters), beyond the spread.",
)
def first_layer_early(facts: Facts) -> Judgement:
    """Compare the first layer early with what it has in the end."""
    along = {layer: row for layer, row in _along(facts).items() if layer == facts.layers[0]}
    end = (facts.sweep[-1].iteration or 0) if facts.sweep else 0
    snapshot = _nearest(facts.sweep, EARLY[0][0] * end)
    part = _early(along, snapshot, end=end, wanted=NEAR + CLOSE) if snapshot else None
    if part is None or not part.numbers:
        return lacking(
            facts, "Table 3's first layer near 5 % of its iterations, and last", "table3"
        )
    used = [n for k, pair in part.numbers.items() for n in marked(part.checks[k], *pair)]
    return judged(part.checks.values(), part.evidence + remarks(used), used)


@dataclass(frozen=True, slots=True)
class _Early:
    """Layers early on: whether each has its share, of which numbers, and the sentence."""

    checks: dict[str, bool | None]
    numbers: dict[str, tuple[Number, Number]]
    evidence: str


def _early(along: Along, snapshot: SweepPoint, *, end: int, wanted: float) -> _Early:
    """Compare every layer's value at a snapshot with a share of its final one."""
    pairs = {k: (v[snapshot.name], _ends(v)[1]) for k, v in along.items() if snapshot.name in v}
    if not pairs:
        return _Early({}, {}, "")
    shares = {layer: now.value / last.value for layer, (now, last) in pairs.items()}
    least = min(shares, key=shares.__getitem__)
    evidence = (
        f"At checkpoint {snapshot.name} ({percent((snapshot.iteration or 0) / end)} of the "
        f"iterations) layers have {percent(shares[least])} ({least}) to "
        f"{percent(max(shares.values()))} of their final mean AP."
    )
    checks = {k: exceeds(*pair, share=wanted - CLOSE) for k, pair in pairs.items()}
    return _Early(checks, pairs, evidence)


def _nearest(sweep: Sequence[SweepPoint], iterations: float) -> SweepPoint | None:
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
    "checkpoint falls with depth (rank correlation -0.75 or less), in 84 % of the draws of the "
    "test samples, too, where every layer ends clear of chance. At 0 or more in as many draws it "
    "does not.",
)
def bottom_up(facts: Facts) -> Judgement:
    """Order layers by how near their final value they are along the sweep."""
    along = _along(facts)
    common = [s.name for s in facts.sweep if all(s.name in row for row in along.values())]
    if len(along) < 2 or len(common) < 2:
        return lacking(facts, SWEEP, "table3")
    last = common[-1]
    used = [row[name] for row in along.values() for name in common]
    shares = dict(zip(along, _shares([n.value for n in used], len(common)), strict=True))
    draws = draw_by_draw(used, lambda at: _shares(at, len(common)))
    order, correlation = falls(list(shares.values()), draws)
    finals = [row[last] for row in along.values()]
    check = order if all(n.is_clear for n in finals) else None
    evidence = (
        f"Before checkpoint {last} layers have on average "
        f"{listed({layer: percent(share) for layer, share in shares.items()})} of their final mean "
        f"AP; rank correlation with depth {correlation:.2f}, over {len(shares)} layers and "
        f"{len(common) - 1} checkpoints."
    )
    missing = _absent(facts, along)
    evidence += remarks(finals)
    return judged([check], evidence, used, hidden="The order is not clear.", missing=missing)


def _shares(values: Sequence[float], n: int) -> list[float]:
    """Return what part of its last value each row of ``n`` has on average before it."""
    rows = [values[i : i + n] for i in range(0, len(values), n)]
    return [over(sum(row[:-1]) / (n - 1), row[-1]) for row in rows]


@claim(
    "no-overfitting",
    says="Pre-training does not overfit: fitting more to its data set does not hurt transfer, so "
    "stopping early gains nothing.",
    sections=("1.1.2", "3.3"),
    reports=("table3",),
    criterion="At the last checkpoint mean AP of the top layer is at least 97 % of its best along "
    "the sweep, beyond the spread, and no other layer is below that (the paper's conv3 ends at "
    "97.9 % of its best). Where accuracy on images held out of pre-training is known to the last "
    "checkpoint, it too must end at 97 % of its best or more; if it is no higher at the last "
    "checkpoint than at the first, nothing was fitted more and the answer is open.",
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
    held = _held(facts.sweep)
    evidence = (
        f"At checkpoint {list(along[top])[-1]} mean AP of {top} is {last[top]}, "
        f"{percent(shares[top])} of its best; of all layers {least} keeps least, "
        f"{percent(shares[least])}. "
    ) + _held_out(held)
    checks = [kept[top], False not in kept.values()]
    used = [n for layer in along for n in marked(kept[layer], best[layer], last[layer])]
    return judged(
        [*checks, _fitted(held)],
        evidence + remarks(used),
        used,
        hidden=HIDDEN if kept[top] is None else OPEN,
        missing=_absent(facts, along),
    )


def _held(sweep: Sequence[SweepPoint]) -> list[tuple[str, float]]:
    """Return held-out accuracy by checkpoint; nothing if the last one's is not known."""
    held = [(s.name, s.held_out) for s in sweep if s.held_out is not None]
    return held if sweep[-1].held_out is not None else []


def _fitted(held: Sequence[tuple[str, float]]) -> bool | None:
    """Say whether held-out accuracy ends near its best: None if it did not rise at all."""
    if len(held) < 2:
        return True
    values = [value for _, value in held]
    if values[-1] < KEPT * max(values):
        return False
    return True if values[-1] > values[0] else None


def _held_out(held: Sequence[tuple[str, float]]) -> str:
    if len(held) < 2:
        return "Accuracy of pre-training on held-out images is not known."
    (first, low), (last, high) = held[0], held[-1]
    name, best = max(held, key=lambda pair: pair[1])
    return (
        f"Accuracy of pre-training on held-out images goes from {percent(low)} at {first} to "
        f"{percent(high)} at {last}, at best {percent(best)} at {name}."
    ) + ("" if _fitted(held) is not None else " It did not rise.")


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
    by_task = {task: _in_order(facts, "table4", task) for task in facts.names("table4")}
    rows = {task: along for task, along in by_task.items() if len(along) > 1}
    if not rows:
        return lacking(facts, "Table 4 for the last and for an earlier checkpoint", "table4")
    sentences = []
    for task, along in rows.items():
        (first, last), names = _ends(along), list(along)
        gain = number_text(last.value - first.value)
        sentences.append(f"{task} from {names[0]} {first}, from {names[-1]} {last}: {gain} points")
    checks = {task: exceeds(*reversed(_ends(along))) for task, along in rows.items()}
    ends = [n for task, along in rows.items() for n in marked(checks[task], *_ends(along))]
    evidence = "; ".join(sentences) + "." + remarks(ends)
    asked = [task for task, _ in facts.wanted.get("table4", ())]
    lacking_last = facts.absent("table4", rows, facts.sweep[-1].name)
    missing = [task for task in lacking_last if asked.count(task) > 1]
    return judged(checks.values(), evidence, ends, missing=missing)
