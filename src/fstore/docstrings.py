"""What docstrings in numpydoc's form say, for helps that are made of them."""

import inspect
import re

__all__ = ["beside_parameters", "parameter_help"]

PARAMETERS = re.compile(r"^Parameters\n-+\n(.*?)(?=^\w[^\n]*\n-+\n|\Z)", re.MULTILINE | re.DOTALL)


def beside_parameters(docstring: str) -> tuple[str, str]:
    """Return what stands before and behind the ``Parameters`` section; all before, without one."""
    text = inspect.cleandoc(docstring)
    section = PARAMETERS.search(text)
    if section is None:
        return text, ""
    return text[: section.start()].strip(), text[section.end() :].strip()


def parameter_help(docstring: str) -> dict[str, str]:
    """Return what the ``Parameters`` section of a numpydoc docstring says of each argument."""
    section = PARAMETERS.search(inspect.cleandoc(docstring))
    if section is None:
        return {}
    told: dict[str, str] = {}
    names: list[str] = []
    for line in section[1].splitlines():
        if line and not line.startswith(" "):
            names = [name.strip() for name in line.split(":", 1)[0].split(",")]
        elif line.strip():
            for name in names:
                told[name] = f"{told.get(name, '')} {line.strip()}".strip()
    return told
