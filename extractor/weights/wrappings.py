"""Where a network's names stand among those of a file: behind a prefix, beside heads of others."""

import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass

__all__ = ["Group", "groups", "is_head", "without_wrappers"]

WRAPPERS = re.compile(
    r"(?:^|(?<=\.))(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)
"""What torch's own wrappers of single modules add in the middle of names."""

HEAD = re.compile(
    r"(?:head|heads|head_dist|fc|classifier|\w*projector|projection|\w*projection_head|proj_head"
    r"|projection_mlp|predictor|\w*prototypes|mlp_head|contrastive_head|(?:dino|ibot)_head"
    r"|decoder\w*|mask_token|aux_classifier|AuxLogits|aux\d|lm_head|pooler|queue\w*|n_averaged"
    r"|text_model|\w*text_projection|visual_projection|logit_scale|logit_bias)"
)
"""First part of the names of what stands behind the features: scores, projections of contrastive
learning, decoders, the other tower. Left out where the network has nothing of that name."""

ENOUGH = 0.5
"""Of a network's names, under one prefix, that make it worth a closer look."""


@dataclass(frozen=True)
class Group:
    """The names of a file that may be a network's.

    Attributes
    ----------
    prefix : str
        With its dot; empty: none.
    names : dict of name to name
        The network's or nearly so, without the prefix -> the file's.
    left_out : list of str
        The file's other names: those behind other prefixes, and heads.
    """

    prefix: str
    names: dict[str, str]
    left_out: list[str]


def groups(names: Collection[str], expected: Collection[str]) -> list[Group]:
    """Return where the names of a network may be among others, the most complete first.

    Parameters
    ----------
    names : collection of str
        Of a file.
    expected : collection of str
        Of the network.
    """
    wanted, votes = set(expected), Counter[str]()
    for name in names:
        starts = [0, *(at + 1 for at, letter in enumerate(name) if letter == ".")]
        votes.update(name[:start] for start in starts if name[start:] in wanted)
    likely = [p for p, n in votes.most_common() if n >= ENOUGH * len(wanted)]
    return [_group(prefix, names, wanted) for prefix in likely]


def _group(prefix: str, names: Collection[str], expected: set[str]) -> Group:
    inner = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    kept = {new: old for new, old in inner.items() if not is_head(new, expected)}
    held = set(kept.values())
    return Group(prefix, kept, [name for name in names if name not in held])


def is_head(name: str, expected: Collection[str]) -> bool:
    """Tell names of heads that a network does not have."""
    first = name.partition(".")[0]
    if not HEAD.fullmatch(first):
        return False
    return not any(other.partition(".")[0] == first for other in expected)


def without_wrappers(names: Collection[str]) -> dict[str, str]:
    """Return names without what torch's wrappers of single modules add, and what they were.

    Where two would become one, all stay as they are.
    """
    short = {WRAPPERS.sub("", name): name for name in names}
    return short if len(short) == len(names) else {name: name for name in names}
