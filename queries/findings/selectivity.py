"""How class selective filters are (section 3.2, supplement 1.3; Figure 1 and Table 9)."""

from fstore.queries.findings._api import Facts, Judgement, claim
from fstore.queries.findings._judging import judged, lacking, listed, marked
from fstore.queries.findings._numbers import Number, number_text
from fstore.queries.findings._orders import falls
from fstore.queries.findings._tells import CHANCE, only_if, tells_classes

__all__ = ["fine_tuning_changes_fc", "fine_tuning_changes_upper", "selectivity_rises"]

ROLES = {"pretrained": "before fine-tuning", "finetuned": "after"}
ALL = "1.00"
"""Figure 1's column of all filters of a layer."""

TENTH = "label 0.1"
"""Table 9's column of label entropy for the most selective tenth of the filters."""

MORE = 1.0
"""Percent by which entropy falls at least; ours: there is no spread. The paper's fc7 has 2.66."""

LITTLE = 0.5
"""Share of the least change of a fully connected layer: what another may change."""


@claim(
    "selectivity-rises-with-depth",
    says="Filters become more class selective from layer to layer, before fine-tuning and after.",
    sections=("3.2",),
    reports=("figure1", "table7", "table3"),
    criterion="MCAuE over all filters falls with depth (rank correlation -0.75 or less), at the "
    "pre-trained and at the fine-tuned checkpoint if there is one. The paper draws it only. Open "
    "unless the top layer tells classes clear of chance.",
)
def selectivity_rises(facts: Facts) -> Judgement:
    """Order layers by their MCAuE."""
    by_role = {
        role: {
            layer: number
            for layer in facts.layers
            if (number := facts.number("figure1", f"{layer} {role}", ALL)) is not None
        }
        for role in ROLES
    }
    series = {role: layers for role, layers in by_role.items() if len(layers) > 1}
    if "pretrained" not in series:
        return lacking(facts, "Figure 1 for two or more layers", "figure1")
    orders = {role: falls([n.value for n in layers.values()]) for role, layers in series.items()}
    evidence = " ".join(
        f"MCAuE {ROLES[role]}, in nats: "
        f"{listed({k: number_text(n.value) for k, n in layers.items()})}; rank correlation with "
        f"depth {orders[role][1]:.2f} over {len(layers)} layers."
        for role, layers in series.items()
    )
    used = [number for layers in series.values() for number in layers.values()]
    all_layers = facts.numbers("figure1", facts.names("figure1"), ALL)
    told = [tells_classes(facts, facts.top_layer)]
    return judged(
        only_if(told, [order for order, _ in orders.values()]),
        evidence,
        used,
        hidden=CHANCE if None in told else "The order is not clear.",
        missing=facts.absent("figure1", all_layers, ALL),
    )


@claim(
    "fine-tuning-changes-fc-most",
    says="Fine-tuning makes the fully connected layers more class selective, and changes the "
    "others little.",
    sections=("3.2", "S1.3"),
    reports=("table9", "table7", "table3"),
    criterion="MCAuE (label entropy, most selective tenth of the filters) falls by at least 1 % in "
    "every fully connected layer (our margin: 2.66 % and 6.52 % in the paper), and changes less "
    "than half as much as in the least of them in every other layer (in the paper conv3 changes "
    "most, by 1.14 %, which is 43 % of fc7's 2.66 %). Open unless the top layer tells classes "
    "clear of chance.",
)
def fine_tuning_changes_fc(facts: Facts) -> Judgement:
    """Compare the decrease in fully connected layers with that in others."""
    decreases = facts.numbers("table9", facts.layers, TENTH)
    flat = [n.value for layer, n in decreases.items() if layer in facts.flat]
    if not 0 < len(flat) < len(decreases):
        return lacking(facts, "Table 9 for fully connected and for other layers", "table9")
    shown = listed({layer: f"{number_text(n.value)} %" for layer, n in decreases.items()})
    evidence = f"Decrease of MCAuE from fine-tuning: {shown}; one fine-tuned network."
    checks = {
        layer: n.value >= MORE if layer in facts.flat else abs(n.value) < LITTLE * min(flat)
        for layer, n in decreases.items()
    }
    used = [number for layer, n in decreases.items() for number in marked(checks[layer], n)]
    missing = facts.absent("table9", decreases, TENTH)
    told = [tells_classes(facts, facts.top_layer)]
    checked = only_if(told, checks.values())
    return judged(checked, evidence, used, hidden=CHANCE, missing=missing)


STRONGEST = {"weighted 0.1": "weighted label entropy", "sp_max 0.1": "sp-max label entropy"}
"""Table 9's columns of the other two entropies for the most selective tenth of the filters."""


@claim(
    "fine-tuning-changes-upper-layers-by-other-entropies",
    says="By weighted and by sp-max entropy, fine-tuning makes all layers from the mid one on more "
    "class selective, and changes the lower ones little.",
    sections=("S1.3",),
    reports=("table9", "table7", "table3"),
    criterion="By both entropies, for the most selective tenth of the filters, MCAuE falls by at "
    "least 1 % from the mid layer on (our margin: 2.66 % or more in the paper), and changes less "
    "than half as much as in the least of these in every lower layer. Open unless the top layer "
    "tells classes clear of chance.",
)
def fine_tuning_changes_upper(facts: Facts) -> Judgement:
    """Compare the decrease from the mid layer on with that below it."""
    by_column = {col: facts.numbers("table9", facts.layers, col) for col in STRONGEST}
    sentences, checks, used = [], list[bool](), list[Number]()
    for col, decreases in by_column.items():
        upper = [n.value for layer, n in decreases.items() if layer in facts.from_middle]
        if not 0 < len(upper) < len(decreases):
            return lacking(facts, f"Table 9's {STRONGEST[col]} from the mid layer on", "table9")
        shown = listed({layer: f"{number_text(n.value)} %" for layer, n in decreases.items()})
        sentences.append(f"Decrease by {STRONGEST[col]}: {shown}.")
        for layer, n in decreases.items():
            little = abs(n.value) < LITTLE * min(upper)
            checks.append(n.value >= MORE if layer in facts.from_middle else little)
            used += marked(checks[-1], n)
    told = [tells_classes(facts, facts.top_layer)]
    return judged(only_if(told, checks), " ".join(sentences), used, hidden=CHANCE)
