"""Two checkpoints that saw the same data set and view, as an address names them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fstore.explore.filters import ALL
from fstore.queries.samples.asked_two import called
from fstore.store.parts import Part

if TYPE_CHECKING:
    from fstore.explore.contents import Contents
    from fstore.explore.page import Asked
    from fstore.store.files import Partition

__all__ = ["Pair", "stored_groups"]


@dataclass(frozen=True)
class Pair:
    """What is compared.

    Attributes
    ----------
    dataset, view : str
    a, b : str
        Checkpoints, as NETWORK/NAME; they may be the same.
    layers_a, layers_b : tuple of Partition
        What is stored of each, in the network's order.
    layer_a, layer_b : Partition
        The layers whose filters are compared.
    part : str
        ``all``, or a part as ``official:test``.
    notes : tuple of str
        What of the address could not be kept to.
    """

    dataset: str
    view: str
    a: str
    b: str
    layers_a: "tuple[Partition, ...]"
    layers_b: "tuple[Partition, ...]"
    layer_a: "Partition"
    layer_b: "Partition"
    part: str = ALL
    notes: tuple[str, ...] = field(default=())

    @property
    def given(self) -> dict[str, str]:
        """Return the address' parameters."""
        own = {"dataset": self.dataset, "view": self.view, "a": self.a, "b": self.b}
        own |= {"layer": self.layer_a.layer, "other_layer": self.layer_b.layer}
        return own if self.part == ALL else {**own, "part": self.part}

    @property
    def options(self) -> dict[str, Any]:
        """Return the options of the analyses of two checkpoints."""
        own: dict[str, Any] = {"ckpt": self.a, "other": self.b, "dataset": self.dataset}
        own["view"] = self.view
        if self.part != ALL:
            part = Part.parse(self.part)
            own["part"] = part.name
            if part.split is not None:
                own |= {"split": part.split.name, "seed": part.split.seed}
        return own

    @classmethod
    def of(cls, asked: "Asked") -> "Pair | None":
        """Read the address; what it leaves open is chosen. None of a store without activations."""
        groups = stored_groups(asked.contents)
        if not groups:
            return None
        notes: list[str] = []
        group = _group(asked, groups, notes)
        own = groups[group]
        first, last = _ends(asked.contents, own)
        a = _chosen(asked, "a", own, first, notes)
        b = _chosen(asked, "b", own, last, notes)
        shared = {p.layer for p in own[a]} & {p.layer for p in own[b]}
        deepest = next((p.layer for p in reversed(own[a]) if p.layer in shared), own[a][-1].layer)
        layer = _layer(asked, "layer", own[a], deepest, notes)
        same = layer.layer if layer.layer in shared else own[b][-1].layer
        other = _layer(asked, "other_layer", own[b], same, notes)
        return cls(
            *group, a, b, own[a], own[b], layer, other, asked.text("part", ALL), tuple(notes)
        )


def stored_groups(
    contents: "Contents",
) -> "dict[tuple[str, str], dict[str, tuple[Partition, ...]]]":
    """Return the stored layers by data set and view, and in each by checkpoint."""
    groups: dict[tuple[str, str], dict[str, list[Partition]]] = {}
    for p in contents.partitions:
        groups.setdefault((p.dataset, p.view), {}).setdefault(called(p), []).append(p)
    return {
        group: {ckpt: tuple(layers) for ckpt, layers in own.items()}
        for group, own in groups.items()
    }


def _group(
    asked: "Asked", groups: "Mapping[tuple[str, str], Mapping[str, object]]", notes: list[str]
) -> tuple[str, str]:
    """Return the data set and view; where none is named that which most checkpoints saw."""
    fit = [g for g in groups if g[0] == asked.given.get("dataset")] or list(groups)
    both = [g for g in fit if g[1] == asked.given.get("view", "image")]
    chosen = max(both or fit, key=lambda g: len(groups[g]))
    named = asked.given.get("dataset")
    if named and (named, asked.given.get("view", chosen[1])) != chosen:
        view = asked.given.get("view", "image")
        notes.append(
            f"Nothing is stored over {named}, view {view}; this is {chosen[0]}, view {chosen[1]}."
        )
    return chosen


def _ends(contents: "Contents", own: "Mapping[str, tuple[Partition, ...]]") -> tuple[str, str]:
    """Return the first and the last in training of the checkpoints with the most layers."""
    most = max(map(len, own.values()))
    records = {f"{r.network}/{r.name}": r.iteration for r in contents.store.checkpoints()}
    named = [ckpt for ckpt, layers in own.items() if len(layers) == most]
    if len(named) == 1:  # compared with another one all the same
        named += [ckpt for ckpt in own if ckpt != named[0]][:1]
    named.sort(key=lambda ckpt: records.get(ckpt) or 0)
    return named[0], named[-1]


def _chosen(
    asked: "Asked", name: str, own: "Mapping[str, object]", default: str, notes: list[str]
) -> str:
    """Return a checkpoint of the address; a name alone is that of the one network that has it."""
    wanted = asked.given.get(name)
    fit = [ckpt for ckpt in own if wanted and wanted in (ckpt, ckpt.rpartition("/")[2])]
    if len(fit) == 1 or wanted in fit:
        return fit[0] if len(fit) == 1 else str(wanted)
    if wanted:
        notes.append(f"Of {wanted} nothing is stored there; this is {default}.")
    return default


def _layer(
    asked: "Asked", name: str, layers: "tuple[Partition, ...]", default: str, notes: list[str]
) -> "Partition":
    by_name = {p.layer: p for p in layers}
    wanted = asked.given.get(name)
    if wanted and wanted not in by_name:
        notes.append(f"{called(layers[0])} has no layer {wanted} stored; this is {default}.")
    return by_name.get(wanted or "", by_name[default])
