"""What the paper calls a report, from its name."""

import re

__all__ = ["label", "name_parts"]


def label(name: str) -> str:
    """Return what the paper calls a report; of one that it does not have, its own name.

    Examples
    --------
    >>> label("table10"), label("s_figure2"), label("table7_accuracy"), label("retrieval")
    ('Table 10', 'Supplementary Figure 2', 'Table 7, accuracy', 'Retrieval')
    """
    parts = name_parts(name)
    if parts is None:
        return name.replace("_", " ").capitalize()
    supplement, kind, number, rest = parts
    text = f"{'Supplementary ' if supplement else ''}{kind.capitalize()} {number}"
    return text + (f", {rest.replace('_', ' ')}" if rest else "")


def name_parts(name: str) -> tuple[str, str, int, str] | None:
    """Return the parts of a name: supplement, kind, number, rest; None of another's."""
    parts = re.fullmatch(r"(s_)?(table|figure)(\d+)_?(.*)", name)
    return (parts[1] or "", parts[2], int(parts[3]), parts[4]) if parts else None
