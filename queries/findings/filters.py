"""Grandmother cells and distributed codes (sections 1.1.3 and 4; Figures 3-5, Tables 5, 10)."""

from collections.abc import Container, Mapping
from math import sqrt
from statistics import fmean, median, stdev

from fstore.queries.cells.needs import SUMMARY, TUNED
from fstore.queries.findings._api import Facts, Judgement, claim
from fstore.queries.findings._judging import HIDDEN, judged, lacking, listed, marked, voted
from fstore.queries.findings._numbers import Number, number_text, percent
from fstore.queries.findings._tells import (
    CHANCE,
    Pairs,
    best_and_complete,
    is_told,
    only_if,
    set_sizes,
    tells_classes,
)

__all__ = [
    "distributed_code",
    "few_filters",
    "few_grandmother_cells",
    "fewer_filters",
    "half_from_one_filter",
    "little_overlap",
    "related_share",
]

ROLES = {"pretrained": "Pre-trained", "finetuned": "Fine-tuned"}

NEAR = 0.8
"""Share of a class's complete AP from which a single filter is called a grandmother cell; ours."""

FEW = 0.25
"""Share of the classes; the paper names 4 of 20 (bicycle, person, car, cat)."""

SEVERAL = 10 / 256
"""Share of a layer's filters; of the paper's 256, 90 % takes 10 (person) to 100 (cow)."""

NAMED = ("person", "car", "cat")
"""Classes of VOC of which the paper says that they take few filters."""

LITTLE = 2.0
"""Times what two random sets have in common; ours, the paper gives chance alone."""

RELATED = 1.1
"""Times what other classes have in common; ours, a margin, since the report has no spread."""


@claim(
    "few-grandmother-cells",
    says="A few classes only have a grandmother cell, a filter that tells them on its own.",
    sections=("1.1.3", "4.1", "6"),
    reports=("figure3", "figure4"),
    criterion="At most a quarter of the classes (the paper names 4 of 20) have a filter of the mid "
    "layer whose own AP is at least 80 % of the AP of all filters together (our share: the paper "
    "draws the curves only), at the pre-trained and at the fine-tuned checkpoint if there is one. "
    "Only classes count whose AP of all filters is at least 10 points above that of a random "
    "filter; where these are less than half of the classes, the answer is open.",
)
def few_grandmother_cells(facts: Facts) -> Judgement:
    """Count the classes whose best filter comes near the complete AP."""
    pairs = {role: best_and_complete(facts, role) for role in ROLES}
    by_role = {role: classes for role, classes in pairs.items() if classes}
    if "pretrained" not in by_role:
        return lacking(facts, "Figures 3 and 4", "figure3", "figure4")
    counted = {
        role: {k: pair for k, pair in classes.items() if is_told(facts, k, role, complete=pair[1])}
        for role, classes in by_role.items()
    }
    checks = [_few_near(counted[role], len(classes)) for role, classes in by_role.items()]
    evidence = " ".join(_near_text(role, counted[role], len(by_role[role])) for role in by_role)
    used = [n for classes in by_role.values() for pair in classes.values() for n in pair]
    missing = _absent(facts, "figure3", by_role)
    return judged(checks, evidence, used, hidden="These are too few.", missing=missing)


def _near(classes: Pairs) -> dict[str, float]:
    """Return the classes with a filter near the complete AP, and its share of it."""
    shares = {name: best.value / full.value for name, (best, full) in classes.items()}
    return {name: share for name, share in shares.items() if share >= NEAR}


def _few_near(classes: Pairs, n_classes: int) -> bool | None:
    """Say whether few of the classes that count have such a filter: None if too few count."""
    return None if 2 * len(classes) < n_classes else len(_near(classes)) <= FEW * len(classes)


def _near_text(role: str, classes: Pairs, n_classes: int) -> str:
    clear = f"{len(classes)} of {n_classes} classes are told clearly by all filters together"
    if not classes:
        return f"{ROLES[role]}, {clear}."
    near = _near(classes)
    names = ", ".join(f"{name} ({percent(share)})" for name, share in near.items())
    middle = median(best.value / full.value for best, full in classes.values())
    return (
        f"{ROLES[role]}, {clear}; {len(near)} of these have a filter with {100 * NEAR:g} % of the "
        f"complete AP or more{': ' if near else ''}{names}; the median class's best one has "
        f"{percent(middle)}."
    )


def _absent(facts: Facts, report: str, present: Container[str]) -> list[str]:
    """Return the checkpoints that the study asks for, and that are not there."""
    return [ROLES[role].lower() for role in facts.absent(report, present)]


@claim(
    "distributed-code",
    says="For most classes the code is distributed: it takes many filters of the mid layer.",
    sections=("1.1.3", "4.2", "6"),
    reports=("table5", "figure4", "figure3", "table7", "table3"),
    criterion="More than half of the classes need more than 10 of 256 filters (the paper's conv5), "
    "or as large a share of the layer's filters, for 90 % of the complete AP, at the pre-trained "
    "and at the fine-tuned checkpoint if there is one. How many filters the layer has is the last "
    "column of Figure 4. "
    "Open unless the layer tells classes clear of chance.",
)
def distributed_code(facts: Facts) -> Judgement:
    """Count the classes that need more than a handful of filters."""
    needs = {role: row for role in ROLES if (row := facts.row("table5", f"{role} 90%"))}
    sizes = [size for row in facts.names("figure4") for size in set_sizes(facts, row)]
    if "pretrained" not in needs or not sizes:
        needed = "Table 5, and Figure 4 for the number of filters"
        return lacking(facts, needed, "table5", "figure4")
    several = max(1, round(SEVERAL * max(sizes)))
    checks = {r: _count(row, above=several) > len(row) / 2 for r, row in needs.items()}
    evidence = " ".join(
        f"{ROLES[role]}, {_count(row, above=several)} of {len(row)} classes need more than "
        f"{several} of {max(sizes)} filters for 90 % of the complete AP; {_half(facts, role)}"
        f"median {_median(row)}."
        for role, row in needs.items()
    )
    used = [
        number
        for role, row in needs.items()
        for number in voted(checks[role], {k: n.value > several for k, n in row.items()}, row)
    ]
    tells = [tells_classes(facts, facts.mid_layer, role) for role in needs]
    missing = _absent(facts, "table5", needs)
    return judged(only_if(tells, checks.values()), evidence, used, hidden=CHANCE, missing=missing)


def _half(facts: Facts, role: str) -> str:
    row = facts.row("table5", f"{role} 50%")
    return f"for 50 % the median is {_median(row)}, for 90 % the " if row else "the "


def _count(row: Mapping[str, Number], *, above: float) -> int:
    return sum(number.value > above for number in row.values())


def _median(row: Mapping[str, Number]) -> str:
    return f"{median(number.value for number in row.values()):g}"


@claim(
    "half-from-one-filter",
    says="For most classes a single filter of the top layer gives half of the complete AP, while "
    "90 % takes more.",
    sections=("S2",),
    reports=("table10", "table7", "table3"),
    criterion="At the fine-tuned checkpoint more than half of the classes need 1 filter for 50 % "
    "(the paper: 18 of 20; at the pre-trained one 7 of 20), and more than half need more for 90 %. "
    "Open unless the layer tells classes clear of chance.",
)
def half_from_one_filter(facts: Facts) -> Judgement:
    """Count the classes that need one filter for half of the complete AP."""
    half, most = (facts.row("table10", f"finetuned {share}") for share in ("50%", "90%"))
    if not half or not most:
        return lacking(facts, "Table 10 at a fine-tuned checkpoint", "table10")
    ones, more = len(half) - _count(half, above=1), _count(most, above=1)
    before = facts.row("table10", "pretrained 50%")
    evidence = (
        f"Fine-tuned, {ones} of {len(half)} classes need 1 filter for 50 % of the complete AP"
        + (f" (pre-trained {len(before) - _count(before, above=1)})" if before else "")
        + f"; {more} of {len(most)} need more than 1 for 90 %, median {_median(most)}."
    )
    checks = [ones > len(half) / 2, more > len(most) / 2]
    used = [
        *voted(checks[0], {k: n.value <= 1 for k, n in half.items()}, half),
        *voted(checks[1], {k: n.value > 1 for k, n in most.items()}, most),
    ]
    tells = [tells_classes(facts, facts.top_layer)]
    return judged(only_if(tells, checks), evidence, used, hidden=CHANCE)


@claim(
    "little-overlap",
    says="Different classes use different filters: their best ones overlap little.",
    sections=("4.2",),
    reports=("figure5", "figure3", "figure4", "table7", "table3"),
    criterion="Two classes have on average less than twice as many of their best filters in common "
    "as two random sets (our factor: the paper draws the matrix and gives chance, 0.195). "
    "Open unless the layer tells classes clear of chance.",
)
def little_overlap(facts: Facts) -> Judgement:
    """Compare the mean overlap with that of random sets."""
    shares = facts.row("figure5", SUMMARY)
    if "mean" not in shares or "chance" not in shares:
        return lacking(facts, "Figure 5", "figure5")
    mean, chance = shares["mean"], shares["chance"]
    names = facts.names("figure5")
    classes = [name for name in names if name != SUMMARY and not name.endswith(TUNED)]
    evidence = (
        f"Two of {len(classes)} classes have {percent(mean.value)} of their best filters in common "
        f"on average, {number_text(mean.value / chance.value)} times chance, "
        f"{percent(chance.value)}."
    )
    little = mean.value < LITTLE * chance.value
    return _judged_overlap(facts, little, evidence, pair=(mean, chance))


def _judged_overlap(
    facts: Facts, holds: bool, evidence: str, *, pair: tuple[Number, Number]
) -> Judgement:
    """Judge a share of common filters beside another; open unless the layer tells classes."""
    share, other = pair
    (check,) = only_if([tells_classes(facts, facts.mid_layer)], [holds])
    return judged([check], evidence, [*marked(check, share), other], hidden=CHANCE)


@claim(
    "related-classes-share-filters",
    says="Related classes are more likely to share filters.",
    sections=("4.2",),
    reports=("figure5", "figure3", "figure4", "table7", "table3"),
    criterion="Pairs within a group of PASCAL VOC (animals, vehicles, indoor things) have at least "
    "1.1 times as many of their best filters in common as other pairs (our margin: the paper only "
    "says more). Known for the classes of VOC only. "
    "Open unless the layer tells classes clear of chance.",
)
def related_share(facts: Facts) -> Judgement:
    """Compare the overlap of related with that of other classes."""
    shares = facts.row("figure5", SUMMARY)
    if "related" not in shares or "unrelated" not in shares:
        return lacking(facts, "Figure 5 for classes of PASCAL VOC", "figure5")
    related, other = shares["related"], shares["unrelated"]
    evidence = (
        f"Related classes have {percent(related.value)} of their best filters in common, others "
        f"{percent(other.value)}."
    )
    shared = related.value > 0 and related.value >= RELATED * other.value
    return _judged_overlap(facts, shared, evidence, pair=(related, other))


@claim(
    "few-filters-for-person-car-cat",
    says="Persons, cars and cats take relatively few filters of the mid layer.",
    sections=("4.2",),
    reports=("table5", "figure4", "figure3", "table7", "table3"),
    criterion="Each of these classes needs fewer filters for 90 % of the complete AP than the "
    "median class, at the pre-trained and at the fine-tuned checkpoint if there is one (15 to 30 "
    "against 40, and 10 to 25 against 35 in the paper). Known for data sets with these classes "
    "only. Open unless the layer tells classes clear of chance.",
)
def few_filters(facts: Facts) -> Judgement:
    """Compare the classes that the paper names with the median class."""
    needs = {role: row for role in ROLES if (row := facts.row("table5", f"{role} 90%"))}
    named = {r: {k: row[k] for k in NAMED if k in row} for r, row in needs.items()}
    if "pretrained" not in needs or any(len(few) < len(NAMED) for few in named.values()):
        return lacking(facts, "Table 5 for persons, cars and cats", "table5")
    sentences, checks, used = [], list[bool](), list[Number]()
    for role, few in named.items():
        middle = median(n.value for n in needs[role].values())
        shown = listed({name: f"{n.value:g}" for name, n in few.items()})
        sentences.append(f"{ROLES[role]}, {shown} filters; the median class {middle:g}.")
        for n in few.values():
            checks.append(n.value < middle)
            used += marked(checks[-1], n)
    tells = [tells_classes(facts, facts.mid_layer, role) for role in needs]
    missing = _absent(facts, "table5", needs)
    evidence = " ".join(sentences)
    return judged(only_if(tells, checks), evidence, used, hidden=CHANCE, missing=missing)


@claim(
    "slightly-fewer-filters-after-fine-tuning",
    says="After fine-tuning slightly fewer filters of the mid layer give as large a share of the "
    "complete AP.",
    sections=("4.2",),
    reports=("table5", "figure4", "figure3", "table7", "table3"),
    criterion="Over the classes, the mean number of filters for 90 % of the complete AP is lower "
    "after fine-tuning by more than the standard error of its mean difference, and at least half "
    "of that before (our share for slightly: 82 % in the paper). Open unless the layer tells "
    "classes clear of chance at both checkpoints.",
)
def fewer_filters(facts: Facts) -> Judgement:
    """Compare the numbers of filters before and after fine-tuning, class by class."""
    before, after = (facts.row("table5", f"{role} 90%") for role in ROLES)
    names = [name for name in before if name in after]
    if len(names) < 2:
        return lacking(facts, "Table 5 before and after fine-tuning", "table5")
    saved = [before[name].value - after[name].value for name in names]
    error = stdev(saved) / sqrt(len(saved))
    means = [fmean(row[name].value for name in names) for row in (before, after)]
    fewer = None if abs(fmean(saved)) <= error else fmean(saved) > 0
    evidence = (
        f"90 % of the complete AP takes {means[0]:.1f} filters before fine-tuning and "
        f"{means[1]:.1f} after it, {fmean(saved):.1f} ± {error:.1f} fewer, over {len(names)} "
        "classes."
    )
    tells = [tells_classes(facts, facts.mid_layer, role) for role in ROLES]
    used = [row[name] for row in (before, after) for name in names]
    checks = only_if(tells, [fewer, means[1] >= means[0] / 2])
    return judged(checks, evidence, used, hidden=CHANCE if None in tells else HIDDEN)
