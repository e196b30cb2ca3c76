"""Grandmother cells and distributed codes (sections 1.1.3 and 4; Figures 3-5, Tables 5, 10)."""

from collections.abc import Mapping
from statistics import median

from fstore.queries.findings._api import Facts, Judgement, claim
from fstore.queries.findings._judging import judged, lacking
from fstore.queries.findings._numbers import Number, number_text, percent
from fstore.queries.reports._api import BESIDE

__all__ = [
    "distributed_code",
    "few_grandmother_cells",
    "half_from_one_filter",
    "little_overlap",
    "related_share",
]

ROLES = {"pretrained": "Pre-trained", "finetuned": "Fine-tuned"}

NEAR = 0.8
"""Share of a class's complete AP from which a single filter is called a grandmother cell; ours."""

FEW = 0.25
"""Share of the classes; the paper names 4 of 20 (bicycle, person, car, cat)."""

SEVERAL = 10
"""Filters; in the paper 90 % takes 10 (person, fine-tuned) to 100 (cow, sofa)."""

LITTLE = 2.0
"""Times what two random sets have in common; ours, the paper gives chance alone."""

SUMMARY = "(summary)"


@claim(
    "few-grandmother-cells",
    says="A few classes only have a grandmother cell, a filter that tells them on its own.",
    sections=("1.1.3", "4.1", "6"),
    reports=("figure3", "figure4"),
    criterion="At most a quarter of the classes (the paper names 4 of 20) have a filter of the mid "
    "layer whose own AP is at least 80 % of the AP of all filters together (our share: the paper "
    "draws the curves only), at the pre-trained and at the fine-tuned checkpoint if there is one.",
)
def few_grandmother_cells(facts: Facts) -> Judgement:
    """Count the classes whose best filter comes near the complete AP."""
    pairs = {role: _best_and_complete(facts, role) for role in ROLES}
    there = {role: found for role, found in pairs.items() if found}
    if "pretrained" not in there:
        return lacking(facts, "Figures 3 and 4", "figure3", "figure4")
    sentences, checks = [], []
    for role, found in there.items():
        shares = {name: best.value / full.value for name, (best, full) in found.items()}
        near = [f"{name} ({percent(share)})" for name, share in shares.items() if share >= NEAR]
        checks.append(len(near) <= FEW * len(shares))
        names = f": {', '.join(near)}" if near else ""
        sentences.append(
            f"{ROLES[role]}, {len(near)} of {len(shares)} classes have a filter with "
            f"{100 * NEAR:g} % of the complete AP or more{names}; the median class's best one has "
            f"{percent(median(shares.values()))}."
        )
    used = [n for found in there.values() for pair in found.values() for n in pair]
    return judged(checks, " ".join(sentences), used)


def _best_and_complete(facts: Facts, role: str) -> dict[str, tuple[Number, Number]]:
    """Return the AP of the best filter and of all filters together, by class."""
    ending, found = f" {role}", {}
    for row in facts.names("figure4"):
        if row.endswith(ending):
            best, complete = facts.number("figure3", f"{row} 1", "ap"), _complete(facts, row)
            if best is not None and complete is not None and complete.value > 0:
                found[row.removesuffix(ending)] = best, complete
    return found


def _complete(facts: Facts, row: str) -> Number | None:
    """Return the AP of the largest set of filters of a row of Figure 4."""
    sizes = [int(col) for col in facts.row("figure4", row)]
    return facts.number("figure4", row, f"{max(sizes)}{BESIDE}ap") if sizes else None


@claim(
    "distributed-code",
    says="For most classes the code is distributed: it takes many filters of the mid layer.",
    sections=("1.1.3", "4.2", "6"),
    reports=("table5",),
    criterion="More than half of the classes need more than 10 filters for 90 % of the complete "
    "AP, at the pre-trained and at the fine-tuned checkpoint if there is one.",
)
def distributed_code(facts: Facts) -> Judgement:
    """Count the classes that need more than a handful of filters."""
    there = {role: row for role in ROLES if (row := facts.row("table5", f"{role} 90%"))}
    if "pretrained" not in there:
        return lacking(facts, "Table 5", "table5")
    checks = [_count(row, above=SEVERAL) > len(row) / 2 for row in there.values()]
    evidence = " ".join(
        f"{ROLES[role]}, {_count(row, above=SEVERAL)} of {len(row)} classes need more than "
        f"{SEVERAL} filters for 90 % of the complete AP; {_half(facts, role)}median "
        f"{_median(row)}."
        for role, row in there.items()
    )
    return judged(checks, evidence, [n for row in there.values() for n in row.values()])


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
    reports=("table10",),
    criterion="At the fine-tuned checkpoint more than half of the classes need 1 filter for 50 % "
    "(the paper: 18 of 20; at the pre-trained one 7 of 20), and more than half need more for 90 %.",
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
    return judged(checks, evidence, [*half.values(), *most.values()])


@claim(
    "little-overlap",
    says="Different classes use different filters: their best ones overlap little.",
    sections=("4.2",),
    reports=("figure5",),
    criterion="Two classes have on average less than twice as many of their best filters in common "
    "as two random sets (our factor: the paper draws the matrix and gives chance, 0.195).",
)
def little_overlap(facts: Facts) -> Judgement:
    """Compare the mean overlap with that of random sets."""
    there = facts.row("figure5", SUMMARY)
    if "mean" not in there or "chance" not in there:
        return lacking(facts, "Figure 5", "figure5")
    mean, chance = there["mean"], there["chance"]
    pairs = len(facts.names("figure5")) - 1
    evidence = (
        f"Two of {pairs} classes have {percent(mean.value)} of their best filters in common on "
        f"average, {number_text(mean.value / chance.value)} times chance, {percent(chance.value)}."
    )
    return judged([mean.value < LITTLE * chance.value], evidence, [mean, chance])


@claim(
    "related-classes-share-filters",
    says="Related classes are more likely to share filters.",
    sections=("4.2",),
    reports=("figure5",),
    criterion="Pairs within a group of PASCAL VOC (animals, vehicles, indoor things) have more of "
    "their best filters in common than other pairs. Known for the classes of VOC only.",
)
def related_share(facts: Facts) -> Judgement:
    """Compare the overlap of related with that of other classes."""
    there = facts.row("figure5", SUMMARY)
    if "related" not in there or "unrelated" not in there:
        return lacking(facts, "Figure 5 for classes of PASCAL VOC", "figure5")
    related, other = there["related"], there["unrelated"]
    evidence = (
        f"Related classes have {percent(related.value)} of their best filters in common, others "
        f"{percent(other.value)}."
    )
    return judged([related.value > other.value], evidence, [related, other])
