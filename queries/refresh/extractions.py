"""What the reports of a study read, and which extractions would add what the store lacks of it."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fstore import commands
from fstore.errors import FstoreError
from fstore.queries.cells.inputs import NO_PROPOSALS, Inputs
from fstore.queries.cells.needs import Need
from fstore.queries.reports import needs_of, reports_of
from fstore.queries.studies.study import Study
from fstore.store.parts import TRAINVAL, Part, Samples, Split

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Extraction", "missing_extractions", "study_needs"]


@dataclass(frozen=True, slots=True)
class Extraction:
    """One run of ``fstore extract``; ``part`` as the text that names it, None for all."""

    layers: tuple[str, ...]
    ckpts: tuple[str, ...]
    dataset: str
    view: str
    part: str | None

    def command(self, store: commands.Where) -> str:
        """Return the command that does it to a store."""
        return commands.extract(
            store,
            layers=self.layers,
            ckpts=self.ckpts,
            dataset=self.dataset,
            view=self.view,
            part=self.part,
        )


def study_needs(
    store: "Store", study: Study
) -> tuple[dict[str, Sequence[Need]], dict[str, FstoreError]]:
    """Return the needs of every report, and why others have none: a part that is not bound.

    Parameters
    ----------
    store : Store
    study : Study

    Returns
    -------
    needs : dict of report's name to sequence of Need
    left_out : dict of report's name to error
    """
    needs, left_out = {}, {}
    for entry in reports_of(study):
        try:
            needs[entry.name] = needs_of(store, study, entry.name)
        except FstoreError as error:
            left_out[entry.name] = error
    return needs, left_out


def missing_extractions(
    store: "Store",
    needs: Iterable[Need],
    *,
    layers: Sequence[str],
    to_come: Collection[tuple[str, str]] = (),
) -> list[Extraction]:
    """Return the extractions that would complete what some needs read; no others, none twice.

    A need that reads proposals of images that were not searched is left out.

    Parameters
    ----------
    store : Store
    needs : iterable of Need
    layers : sequence of str
        The network's, in the order in which they are named.
    to_come : collection of (network, name)
        Checkpoints to count with that are not registered yet; what is read of others is left out.
    """
    inputs = Inputs(store)
    ckpts_there = {(r.network, r.name) for r in store.checkpoints()}.union(to_come)
    wanted = list(needs)
    lacks = {r: inputs.lack(r) for r in dict.fromkeys(r for n in wanted for r in n.readings)}
    able = [n for n in wanted if all(lacks[r] != NO_PROPOSALS for r in n.readings)]
    readings = dict.fromkeys(r for n in able for r in n.readings)
    lacking = [r for r in readings if (r.network, r.ckpt) in ckpts_there and lacks[r]]
    parts: dict[tuple[str, str, str, str, str], set[Samples]] = defaultdict(set)
    for r in lacking:
        parts[r.network, r.ckpt, r.samples.dataset, r.samples.view, r.layer].add(r.samples)
    of_ckpt: dict[tuple[str, str, str, str | None], list[str]] = defaultdict(list)
    for (network, ckpt, dataset, view, layer), samples in parts.items():
        of_ckpt[f"{network}/{ckpt}", dataset, view, _part(samples)].append(layer)
    return _joined(of_ckpt, layers)


def _joined(
    of_ckpt: Mapping[tuple[str, str, str, str | None], Sequence[str]], order: Sequence[str]
) -> list[Extraction]:
    """Put checkpoints together of which the same is wanted."""
    joined: dict[tuple[tuple[str, ...], str, str, str | None], list[str]] = defaultdict(list)
    for (ckpt, dataset, view, part), own in of_ckpt.items():
        places = {layer: i for i, layer in enumerate(order)}
        layers = sorted(own, key=lambda layer: (places.get(layer, len(places)), layer))
        joined[tuple(layers), dataset, view, part].append(ckpt)
    return [
        Extraction(layers, tuple(ckpts), dataset, view, part)
        for (layers, dataset, view, part), ckpts in joined.items()
    ]


def _part(samples: Collection[Samples]) -> str | None:
    """Return how a part of one split is named, where it is no more than that."""
    splits = {s.which.split for s in samples}
    parts = {s.part for s in samples}
    if len(splits) > 1 or (len(parts) > 1 and parts != {"train", "val"}):
        return None
    (split,) = splits
    name = TRAINVAL if len(parts) > 1 else next(iter(parts))
    return str(Part(name, None if split == Split() else split))  # official is the default
