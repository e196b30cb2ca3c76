"""Find a network's names for the tensors of a file.

They stand there as they are, behind a wrapper's prefix, beside heads that the network does not
have, or as an older version of the network's code called them.
"""

import copy
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from fstore.errors import DataError
from fstore.extractor.networks import Network
from fstore.extractor.weights.readers import with_dots
from fstore.extractor.weights.wrappings import Group, groups, without_wrappers
from fstore.types import MEAN_IMAGE

__all__ = ["MEAN_IMAGE", "candidates", "is_counter", "left_out", "named", "nearest", "ties"]

PREFIXES = ("module.", "_orig_mod.", "model.")
"""Of DataParallel, torch.compile and Lightning; dropped only where every name has one."""

OLD_NAMES = (
    (
        "torchvision:densenet",
        re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.([12])\."),
        r"\1\2.",
    ),
)
"""Names in torchvision's own files that its modules' hooks do not translate: prefix of the
network's name, what is replaced, by what."""


def is_counter(name: str) -> bool:
    """Tell counters of batch normalisation, which older files lack and evaluation does not use."""
    return name.endswith("num_batches_tracked")


def named(tensors: Mapping[str, Tensor], network: Network, source: str) -> dict[str, Tensor] | None:
    """Return the tensors under the network's names; None if no way of naming gives all of them.

    Parameters
    ----------
    tensors : mapping of name to Tensor
        As they stand in a file.
    network : Network
        torch's hooks in its modules translate the names of their older versions.
    source : str
        The file, for errors.

    Raises
    ------
    DataError
        Two names become one, or several sets of tensors are the network's.
    """
    for variant in _variants(tensors, network, source):
        matched = _matched(variant, network.model)
        if matched is not None:
            return matched
    fitting = candidates(tensors, network, source)
    if len(fitting) > 1:
        raise DataError(
            f"{source} holds several sets of weights that fit: {', '.join(fitting)}; choose one "
            "with --key NAME"
        )
    return next(iter(fitting.values()), None)


def candidates(
    tensors: Mapping[str, Tensor], network: Network, source: str
) -> dict[str, dict[str, Tensor]]:
    """Return the tensors that may be meant among others, under the network's names, by prefix.

    Parameters
    ----------
    tensors, network, source
        As for :func:`named`.

    Returns
    -------
    dict of prefix to tensors
        The prefix without its last dot, empty where there is none. Several where a file holds a
        teacher beside a student. Not those of a file that holds the network's own names, too, in
        part: what is meant there is not known.
    """
    plain, likely = _likely(tensors, network, source)
    complete = {}
    for group in likely:
        matched = _matched(_renamed(plain, group.names, group.prefix), network.model)
        if matched is not None and not (group.prefix and _is_mixed(group, network)):
            complete[group.prefix.removesuffix(".")] = matched
    return complete


def left_out(tensors: Mapping[str, Tensor], network: Network, source: str) -> list[str]:
    """Return the names of a file that are not taken for a network: heads, and other networks."""
    for variant in _variants(tensors, network, source):
        if _matched(variant, network.model) is not None:
            return []
    _, likely = _likely(tensors, network, source)
    fitting = candidates(tensors, network, source)
    return next((g.left_out for g in likely if g.prefix.removesuffix(".") in fitting), [])


def _likely(
    tensors: Mapping[str, Tensor], network: Network, source: str
) -> tuple[Mapping[str, Tensor], list[Group]]:
    plain = _renamed(tensors, without_wrappers([n for n in tensors if n != MEAN_IMAGE]))
    if any("/" in name for name in plain):
        plain = with_dots(plain, source)
    return plain, groups(list(plain), network.model.state_dict())


def _is_mixed(group: Group, network: Network) -> bool:
    """Tell whether names of the network's own stand beside those behind the prefix."""
    return any(name in network.model.state_dict() for name in group.left_out)


def _matched(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor] | None:
    matched = _translated(tensors, model)
    if matched is None and _complete(set(tensors), model):
        matched = dict(tensors)
    return matched


def nearest(tensors: Mapping[str, Tensor], network: Network, source: str) -> dict[str, Tensor]:
    """Return the tensors named so that the fewest are missing or unexpected, to say which."""
    expected = set(network.model.state_dict().keys())
    variants = [*_variants(tensors, network, source)]
    plain, likely = _likely(tensors, network, source)
    apart = [group for group in likely if not (group.prefix and _is_mixed(group, network))]
    variants += [_renamed(plain, group.names, group.prefix) for group in apart]
    return dict(min(variants, key=lambda variant: len(expected ^ set(variant.keys()))))


def ties(model: nn.Module) -> dict[str, str]:
    """Return the names that stand for a tensor which has another name before."""
    first: dict[int, str] = {}
    second_names: dict[str, str] = {}
    every = [
        *model.named_parameters(remove_duplicate=False),
        *model.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in every:
        if first.setdefault(id(tensor), name) != name:
            second_names[name] = first[id(tensor)]
    return second_names


def _variants(
    tensors: Mapping[str, Tensor], network: Network, source: str
) -> Iterator[Mapping[str, Tensor]]:
    """Yield the tensors under each set of names that they may mean, the file's own first."""
    plain = _renamed(tensors, {n: n for n in tensors if n != MEAN_IMAGE})
    whole = [plain]
    if any("/" in name for name in plain):
        whole.append(with_dots(plain, source))
    for variant in whole:
        yield from _stripped(variant, network)


def _stripped(tensors: Mapping[str, Tensor], network: Network) -> Iterator[Mapping[str, Tensor]]:
    current: Mapping[str, Tensor] | None = tensors
    while current is not None:
        yield current
        for start, pattern, by in OLD_NAMES:
            if network.name.startswith(start) and any(map(pattern.search, current)):
                yield _renamed(current, {pattern.sub(by, n): n for n in current})
        current = _without_prefix(current)


def _without_prefix(tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor] | None:
    """Drop a wrapper's prefix if all names have it and something is left of each."""
    for prefix in PREFIXES:
        if tensors and all(n.startswith(prefix) and n != prefix for n in tensors):
            return _renamed(tensors, {n.removeprefix(prefix): n for n in tensors}, prefix)
    return None


def _renamed(
    tensors: Mapping[str, Tensor], names: Mapping[str, str], prefix: str = ""
) -> Mapping[str, Tensor]:
    """Return tensors under new names, with torch's note of the versions of the modules."""
    result = OrderedDict((new, tensors[old]) for new, old in names.items())
    metadata: Mapping[Any, Any] | None = getattr(tensors, "_metadata", None)
    if metadata is not None and (not prefix or prefix[:-1] in metadata):
        kept = {str(k): v for k, v in metadata.items() if f"{k}.".startswith(prefix)}
        versions = {f"{k}.".removeprefix(prefix).removesuffix("."): v for k, v in kept.items()}
        result._metadata = {k: v for k, v in versions.items() if isinstance(v, dict)}  # type: ignore[attr-defined]
    return result


def _complete(names: set[str], model: nn.Module) -> bool:
    """Tell whether names are a network's, but for counters and second names of one tensor."""
    expected, same = set(model.state_dict()), ties(model)
    groups: dict[str, set[str]] = {}
    for second, first in same.items():
        groups.setdefault(first, {first}).add(second)
    absent = {n for n in expected - names if not is_counter(n)}
    for group in groups.values():
        if group & names:
            absent -= group
    return not absent and names <= expected


def _translated(tensors: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor] | None:
    """Let torch load the tensors, and see under which names they arrive; None if any does not."""
    report: list[Any] = []
    try:
        shell = copy_modules(model)
        shell.register_load_state_dict_post_hook(  # type: ignore[no-untyped-call]
            lambda _, keys: report.append(keys)
        )
        before = {name: _place(t) for name, t in shell.state_dict().items()}
        places = set(before.values())
        state = OrderedDict(
            (n, t.clone() if _place(t) in places else t) for n, t in tensors.items()
        )
        state._metadata = copy.deepcopy(getattr(tensors, "_metadata", None))  # type: ignore[attr-defined]
        try:
            shell.load_state_dict(state, strict=False, assign=True)
        except RuntimeError:  # other shapes: they keep their names, and are told of later
            if not report:
                return None
        after = shell.state_dict()
    except Exception:  # noqa: BLE001 - hooks of anyone's modules
        return None
    if not report:
        return None
    arrived = {n: t.detach() for n, t in after.items() if _place(t) != before[n]}
    arrived |= {n: tensors[n] for n in after if n in tensors and n not in arrived}
    if report[-1].unexpected_keys or not _complete(set(arrived), model):
        return None
    return arrived


def _place(tensor: Tensor) -> int:
    """Return where a tensor's values lie; -1 for what has no such place."""
    plain = tensor.layout == torch.strided and tensor.device.type == "cpu"
    return tensor.data_ptr() if plain else -1


def copy_modules(model: nn.Module) -> nn.Module:
    """Copy a model's modules, not its tensors, which both then have."""
    held = [*model.parameters(), *model.buffers()]
    memo: dict[int, object] = {id(t): t for t in held}
    copied: nn.Module = copy.deepcopy(model, memo)
    return copied
