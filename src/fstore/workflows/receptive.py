"""Receptive fields into a store: computed where a network is loaded, read where it is not."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from fstore.errors import FstoreError
from fstore.fields import Field
from fstore.store.derived import source_of
from fstore.store.field_files import add_fields, without_field
from fstore.trust import check_consent

if TYPE_CHECKING:
    from fstore.extractor.networks import Network
    from fstore.store import Store

__all__ = ["index_fields", "note_fields"]


def index_fields(
    store: "Store", networks: Sequence[str] = (), *, say: Callable[[str], None] | None = None
) -> int:
    """Compute the receptive fields that a store lacks; networks are built, without weights.

    Parameters
    ----------
    store : Store
    networks : sequence of str
        Their names; empty for all whose layers are on record.
    say : callable or None
        Told in a sentence of each network for which that is not possible.

    Returns
    -------
    int
        How many layers have a field that had none.

    Raises
    ------
    StorageError
        The store cannot be written.
    """
    from fstore.extractor.networks import build_network
    from fstore.names import network_name

    say = say or (lambda _text: None)
    recorded = dict.fromkeys(store.rows("layers")["network"].to_pylist())
    names = [network_name(name) for name in networks] or list(recorded)
    count = 0
    for name in names:
        if not _wanted(store, name):
            continue
        try:
            check_consent(store.trusted, name)
            network = build_network(name)
        except FstoreError as error:
            say(f"{name}: no receptive fields, for it cannot be built: {error}")
            continue
        added, note = note_fields(store, network)
        count += added
        if note:
            say(note)
    return count


def note_fields(store: "Store", network: "Network") -> tuple[int, str]:
    """Compute and store the fields of a network's layers for which nobody has tried.

    Whatever the network's code raises is said and not raised: fields are a convenience.

    Parameters
    ----------
    store : Store
    network : Network
        Of the name under which the layers are stored; its weights play no part.

    Returns
    -------
    (int, str)
        How many fields were stored; a sentence where some could not be found, else empty.

    Raises
    ------
    StorageError
        The store cannot be written.
    """
    from fstore.extractor.receptive import find_fields
    from fstore.extractor.taps import Taps

    wanted = _wanted(store, network.name)
    if not wanted:
        return 0, ""
    try:
        taps = Taps(network, list(wanted))
    except FstoreError as error:
        return 0, f"{network.name}: receptive fields are not known: {error}"
    now = {spec.name: spec.definition for spec in taps.specs}
    same = [name for name, definition in wanted.items() if now[name] == definition]
    if same and len(same) < len(wanted):
        taps = Taps(network, same)
    found: dict[str, Field | str] = {}
    try:
        found = find_fields(network, taps=taps) if same else {}
    except Exception as error:  # noqa: BLE001 - runs a network's code in ways it was not made for
        reason = " ".join(str(error).split()) or type(error).__name__
        if not _has_numbers(network):  # another checkpoint may do
            return 0, f"{network.name}: receptive fields are not known: {reason}"
        found = dict.fromkeys(same, reason)
    add_fields(
        store.place, network.name, {name: (wanted[name], field) for name, field in found.items()}
    )
    return _count(found), _without(
        network.name, found, changed=[n for n in wanted if n not in same]
    )


def _wanted(store: "Store", network: str) -> dict[str, str]:
    """Return the layers that the network itself has and that lack a field: their definitions."""
    lacking = without_field(store.place, network)
    return {name: d for name, d in lacking.items() if source_of(d) is None}


def _has_numbers(network: "Network") -> bool:
    """Whether all weights are finite."""
    return all(bool(p.isfinite().all()) for p in network.model.parameters())


def _count(found: "dict[str, Field | str]") -> int:
    return sum(isinstance(field, Field) for field in found.values())


def _without(network: str, found: "dict[str, Field | str]", *, changed: Sequence[str]) -> str:
    """Say once of which layers there is no field."""
    reasons = {name: field for name, field in found.items() if isinstance(field, str)}
    reasons |= dict.fromkeys(changed, "the network's code is not what was stored")
    if not reasons:
        return ""
    names = ", ".join(reasons)
    why = "; ".join(dict.fromkeys(reasons.values()))
    return f"{network}: the receptive field of {names} is not known: {why}"
