"""What reports on ground-truth boxes share: checkpoints by role, and their responses."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from fstore.queries.cells.needs import Need, Reading
from fstore.queries.reports._classify import samples_of
from fstore.queries.studies.study import Study

if TYPE_CHECKING:
    from fstore.queries.samples.single import Responses
    from fstore.store import Store

__all__ = ["box_needs", "box_responses", "roles"]


def roles(study: Study) -> dict[str, str]:
    """Return the checkpoints that are compared: pretrained, and finetuned if the study binds it."""
    ckpts = {"pretrained": study.checkpoint("pretrained")}
    return ckpts | ({"finetuned": study.finetuned} if study.finetuned else {})


def box_needs(role_of_layer: str) -> "Callable[[Store, Study], list[Need]]":
    """Return a function that lists a series a checkpoint: one layer, ground-truth boxes.

    Of a random split with several seeds the first is read.

    Parameters
    ----------
    role_of_layer : {"mid_layer", "top_layer"}
    """

    def needs(store: "Store", study: Study) -> list[Need]:
        layer, bounds = study.layer(role_of_layer), study.bound("detection")
        first = {(b.dataset, b.seeds[0]) for b in bounds}
        samples = [s for s in samples_of(store, bounds, "gt") if (s.dataset, s.seed) in first]
        return [
            Need(role, "", tuple(Reading(study.network, ckpt, layer, s) for s in samples))
            for role, ckpt in roles(study).items()
        ]

    return needs


def box_responses(store: "Store", need: Need) -> "Responses":
    """Return one response a filter and box: what a need of :func:`box_needs` reads."""
    from fstore.queries.samples.problem import problem
    from fstore.queries.samples.single import responses

    first, samples = need.readings[0], [reading.samples for reading in need.readings]
    asked = problem(store, samples, network=first.network, ckpt=first.ckpt, layer=first.layer)
    return responses(store, asked)
