"""That most responses are 0."""

from fstore.queries.findings._api import Facts, Judgement, Verdict, claim


@claim(
    "most-responses-are-zero",
    says="In every layer most responses are 0.",
    sections=("5",),
    reports=("table6",),
    criterion="In no layer more than half of the responses are other than 0.",
)
def most_are_zero(facts: Facts) -> Judgement:
    """Look at the layers of Table 6."""
    column = "nonzero_percent"
    numbers = facts.numbers("table6", facts.layers, column)
    if not numbers:
        return Judgement(Verdict.UNKNOWN, "It needs Table 6.")
    layer, largest = max(numbers.items(), key=lambda item: item[1].value)
    verdict = Verdict.HOLDS if largest.value < 50 else Verdict.FAILS
    evidence = f"At most {largest.value:.1f} % are other than 0, in {layer}."
    return Judgement(verdict, evidence, tuple(numbers.values()))
