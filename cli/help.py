"""How help shows commands and options: commands by purpose, in whole lines; types as words."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["PURPOSES", "show_words", "write_commands"]

PURPOSES: Mapping[str, Sequence[str]] = {
    "Start": ("init", "demo", "doctor", "status"),
    "Images, networks, weights": (
        "dataset",
        "proposals",
        "networks",
        "layers",
        "ckpt",
        "train",
    ),
    "Activations": ("extract", "index", "export"),
    "Questions": ("sql", "analyze", "explore", "detect"),
    "Studies and reports": ("study", "report", "reproduce", "schedule"),
    "Upkeep": ("runs", "verify", "compact", "gc", "drop"),
}
"""The program's commands by what they are for, in the order in which one meets them."""

NUMBERS = {"int": "N", "float": "NUMBER"}
WHOLE_LINE = 10_000
"""Letters of a command's first sentence: it is wrapped, not cut."""


def write_commands(commands: Mapping[str, Any], formatter: Any) -> None:  # noqa: ANN401
    """Write the commands of a group into its help: those of the program by purpose.

    Parameters
    ----------
    commands : mapping of str to typer's command
    formatter : typer's help formatter
    """
    shown = {name: command for name, command in commands.items() if not command.hidden}
    by_purpose = PURPOSES if set(PURPOSES["Start"]) <= set(shown) else {}
    named = {name for names in by_purpose.values() for name in names}
    rest = tuple(name for name in shown if name not in named)
    width = max(map(len, shown), default=0)
    for purpose, names in {**by_purpose, "Commands": rest}.items():
        rows = [
            (name.ljust(width), shown[name].get_short_help_str(WHOLE_LINE))
            for name in names
            if name in shown
        ]
        if rows:
            with formatter.section(purpose):
                formatter.write_dl(rows)


def show_words(params: Sequence[Any]) -> None:
    """Have help show words in the place of types: ``--layer LAYER,...``, ``--limit N``.

    Parameters
    ----------
    params : sequence of typer's options and arguments
    """
    for param in params:
        if param.param_type_name == "argument":
            param.metavar = param.metavar or param.name.upper()
            param.display_type_rich = lambda ctx: ""  # noqa: ARG005 - typer's signature
            word = param.metavar + "..." * (param.nargs != 1)
            usage = word if param.required else f"[{word}]"
            param._usage_display_name = lambda usage=usage: usage
        elif param.metavar is None and not param.is_flag:
            param.metavar = _word(param)


def _word(option: Any) -> str:  # noqa: ANN401
    """Return what stands for an option's value: its choices, a number, or the option's own name."""
    about = option.type_descriptor
    kind = getattr(about.annotation, "__name__", "")
    if about.is_choice:
        word = "|".join(str(getattr(choice, "value", choice)) for choice in about.choices)
    elif kind in NUMBERS:
        word = NUMBERS[kind]
    elif about.is_path:
        word = "PATH"
    else:
        word = option.opts[0].lstrip("-").rsplit("-", 1)[-1].upper()
    return f"{word},..." if option.multiple else word
