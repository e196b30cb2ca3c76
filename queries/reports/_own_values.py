"""The values that parameters of own reports take: lists of the study, or of the file."""

from collections.abc import Iterator, Mapping

from fstore.errors import DataError
from fstore.queries.studies.own import OwnReport
from fstore.queries.studies.study import ROLES, Study

__all__ = ["values_of"]

LISTS = ("layers", "sweep", "seeds", "pretrained", "finetuned", "datasets", "network")
"""What of a study a parameter may take its values from."""

BY_NAME = {
    "layer": ("layers",),
    "ckpt": ("sweep", "pretrained", "finetuned"),
    "dataset": ("datasets",),
    "network": ("network",),
    "seed": ("seeds",),
}
"""Where a parameter has its values from that the file gives none: the first list that has some."""


def values_of(study: "Study", own: OwnReport, name: str) -> tuple[str | int, ...]:
    """Return the values that a parameter of a report takes, in order.

    Parameters
    ----------
    study : Study
    own : OwnReport
    name : str
        Of the parameter, without the dollar sign.

    Raises
    ------
    DataError
        Nothing gives it values; a list of that name is not known, or is empty.
    """
    where = f"report '{own.name}' of study '{study.name}'"
    given = own.params.get(name)
    if isinstance(given, tuple):
        return tuple(dict.fromkeys(given))
    lists = _lists(study)
    if given is not None:
        if given not in lists:
            raise DataError(
                f"{where}: params: '{given}' is no list of a study; there are: {', '.join(LISTS)}; "
                f'or give the values: {name} = ["{given}"]'
            )
        if not lists[given]:
            raise DataError(f"{where}: ${name} takes '{given}', which the study does not give")
        return lists[given]
    found = next((lists[each] for each in BY_NAME.get(name, ()) if lists[each]), None)
    if found is None:
        raise DataError(
            f'{where}: nothing gives ${name} a value; add params = {{ {name} = ["VALUE"] }}, or '
            f"the name of one of the study's lists: {', '.join(LISTS)}"
        )
    return found


def _lists(study: "Study") -> Mapping[str, tuple[str | int, ...]]:
    return {
        "layers": study.layers,
        "sweep": study.sweep,
        "seeds": study.seeds,
        "pretrained": tuple(filter(None, [study.pretrained])),
        "finetuned": tuple(filter(None, [study.finetuned])),
        "datasets": tuple(dict.fromkeys(_datasets(study))),
        "network": (study.network,),
    }


def _datasets(study: "Study") -> Iterator[str]:
    for role in ROLES:
        yield from (bound.dataset for bound in getattr(study, role))
