"""What all commands share: how words are read, and that errors become text.

``--store``, ``--quiet`` and ``--full`` may stand before or after a command. An option that takes
one value is given once; a list is repeated, or its values are joined by commas. Words are UTF-8,
whole numbers have 64 bits, numbers are finite, files have an end: checked here, once.
"""

import math
import re
import select
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption
from typer.exceptions import TyperException

from fstore import commands, ending
from fstore.cli.complete import complete_names
from fstore.cli.errors import error_text, wants_traceback
from fstore.cli.help import show_words, write_commands
from fstore.cli.output import FULL
from fstore.cli.streams import BROKEN_PIPE, silence
from fstore.reading import check_local, is_endless

__all__ = ["WHOLE", "Command", "Group", "Program"]

INT64 = range(-(2**63), 2**63)

ELSEWHERE: dict[tuple[str, str], Callable[[str], str]] = {
    ("dataset", "remove"): lambda store: commands.drop(store, {"dataset": "NAME"}),
    ("dataset", "drop"): lambda store: commands.drop(store, {"dataset": "NAME"}),
    ("ckpt", "remove"): lambda store: commands.drop(store, {"ckpt": "NAME"}, checkpoint=True),
    ("ckpt", "drop"): lambda store: commands.drop(store, {"ckpt": "NAME"}, checkpoint=True),
    ("fstore", "remove"): lambda store: commands.drop(store, {"dataset": "NAME"}),
    ("fstore", "query"): lambda store: commands.sql(store, "SELECT ..."),
    ("fstore", "list"): commands.status,
}
"""Where a command is that somebody may look for: (group, word) to what is meant, of a store."""

WHOLE = {
    ("ckpt import", "--preprocess"),  # reads commas itself
    ("ckpt init", "--preprocess"),
    ("detect train", "--class"),  # the name of a class may hold a comma
    ("extract", "--layer"),  # so may that of a layer: the network knows
    ("proposals", "--import"),  # and the name of a file
}
"""Lists whose values are not split at commas here: (command, option)."""

ALIASES = {"rm": "remove", "delete": "remove", "del": "remove", "ls": "list"}


F = TypeVar("F", bound=Callable[..., Any])


class _Shared:
    """What a command and a group of commands have in common."""

    name: str | None
    params: list[Any]

    def __init__(self, *args: Any, **about: Any) -> None:  # noqa: ANN401 - typer's own
        super().__init__(*args, **about)
        show_words(self.params)
        complete_names(self.params)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:  # noqa: ANN401 - typer's own click
        """Check the words, then read them."""
        _check_utf8(ctx, args)
        if not ctx.resilient_parsing:
            self._check_once(ctx, list(args))
        try:
            rest: list[str] = super().parse_args(ctx, args)  # type: ignore[misc]
        except typer.BadParameter as error:
            error.message = error.message.replace("Value error, ", "")  # pydantic's word
            raise
        for param in self.params:
            for value in _values(ctx, param):
                _check_value(ctx, param.opts[0], value)
        return rest

    def make_parser(self, ctx: Any) -> Any:  # noqa: ANN401
        """Return a parser that splits the values of lists at commas."""
        parser = super().make_parser(ctx)  # type: ignore[misc]
        command = " ".join(ctx.command_path.split()[-2:])
        whole = {option for name, option in WHOLE if f" {command}".endswith(f" {name}")}
        read = parser.parse_args
        if ctx.resilient_parsing:  # the line is being typed: a list may end in a comma
            return parser

        def parse(args: list[str]) -> Any:  # noqa: ANN401
            values, rest, order = read(args=args)
            for param in self.get_params(ctx):  # type: ignore[attr-defined]
                if _is_list(param) and values.get(param.name) and whole.isdisjoint(param.opts):
                    values[param.name] = _split(ctx, param, values[param.name])
            return values, rest, order

        parser.parse_args = parse
        return parser

    def _check_once(self, ctx: Any, args: list[str]) -> None:  # noqa: ANN401
        """Refuse an option that takes one value and is given twice: one of them would not count.

        What is given at all is noted under ``fstore.given`` in the context's ``meta``.
        """
        if not args and getattr(self, "no_args_is_help", False):
            return
        _, _, order = self.make_parser(ctx).parse_args(args=args)
        ctx.meta["fstore.given"] = {param.name for param in order}
        for param, times in Counter(map(id, order)).items():
            option = next(p for p in order if id(p) == param)
            several = option.multiple if hasattr(option, "multiple") else option.nargs != 1
            same = getattr(option, "is_flag", False) and not option.secondary_opts
            if times > 1 and not several and not same and option.param_type_name == "option":
                ctx.fail(f"{option.opts[0]} is given {times} times; it takes one value")


def _check_utf8(ctx: Any, args: list[str]) -> None:  # noqa: ANN401
    for word in args:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = word if len(word) <= 60 else f"{word[:60]}..."
            ctx.fail(f"{shown!a} holds bytes that are no UTF-8; names and statements are UTF-8")


def _is_list(param: Any) -> bool:  # noqa: ANN401
    return bool(getattr(param, "multiple", False)) or param.nargs == -1


def _split(ctx: Any, param: Any, words: Sequence[str]) -> list[str]:  # noqa: ANN401
    """Return words split at their commas, but for those in brackets."""
    values: list[str] = []
    for word in words:
        parts = [part.strip() for part in re.split(r",(?![^\[\]]*\])", word)]
        if len(parts) > 1 and not all(parts):
            ctx.fail(f"{param.opts[0]} {word!r} has a comma with no value beside it; write a,b")
        values.extend(parts if len(parts) > 1 else [word])
    return values


def _values(ctx: Any, param: Any) -> Sequence[object]:  # noqa: ANN401
    given = ctx.params.get(param.name)
    return given if isinstance(given, (list, tuple)) else [given]


def _check_value(ctx: Any, name: str, value: object) -> None:  # noqa: ANN401
    """Refuse numbers that no table can hold, and files whose reading would not end."""
    if isinstance(value, int) and value not in INT64:
        ctx.fail(f"{name} {value} is too large; whole numbers have 64 bits")
    if isinstance(value, float) and not math.isfinite(value):
        ctx.fail(f"{name} {value} is not a finite number")
    if isinstance(value, Path) and name != "--root":  # what reads data sets says more of it
        check_local(value, name)
    if isinstance(value, Path) and is_endless(value):
        ctx.fail(f"{name} {value} is a pipe or a device; give a regular file or a folder")


class Command(_Shared, TyperCommand):
    """A command that also takes the program's options: ``--store``, ``--quiet``, ``--full``."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401
        """Return its own options and those of the program."""
        return [*super().get_params(ctx), *_global_options(self.params)]


class Group(_Shared, TyperGroup):
    """Commands that turn an error into ``error: ...`` on stderr and exit status 1."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401
        """Return its own options and those of the program."""
        return [*super().get_params(ctx), *_global_options(self.params)]

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ANN401
        """Write the commands into the help."""
        names = self.list_commands(ctx)
        write_commands({name: self.get_command(ctx, name) for name in names}, formatter)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:  # noqa: ANN401
        """Find a command; for one that is called otherwise, say how."""
        word = ALIASES.get(args[0], args[0])
        if self.get_command(ctx, args[0]) is None and (self.name, word) in ELSEWHERE:
            meant = ELSEWHERE[self.name or "", word](_store_of(ctx))
            ctx.fail(f"no such command '{args[0]}'; use: {meant}")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401
        """Run the command; an error ends it with status 1, Ctrl-C with 130, SIGTERM with 143."""
        try:
            return super().invoke(ctx)
        except (typer.Exit, typer.Abort, GeneratorExit, SystemExit):
            raise
        except KeyboardInterrupt as why:
            typer.echo(ending.tell(why), err=True)
            raise typer.Exit(getattr(why, "status", 130)) from None
        except BaseException as error:  # noqa: BLE001 - a panic of Rust is no Exception
            _end(error)


def _store_of(ctx: Any) -> str:  # noqa: ANN401
    """Return the store of a group's command: as noted, or as given to the program itself."""
    noted = ctx.obj or ctx.params
    return str(noted.get("store") or commands.default_place())


def _end(error: BaseException) -> NoReturn:
    """End the command with the text of an error; usage errors are typer's to tell."""
    if isinstance(error, TyperException):
        raise error
    if isinstance(error, BrokenPipeError) and _reader_is_gone():
        silence()
        raise typer.Exit(BROKEN_PIPE) from error
    if wants_traceback():
        raise error
    typer.echo(f"error: {error_text(error)}", err=True)
    raise typer.Exit(1) from error


def _reader_is_gone() -> bool:
    """Tell whether stdout, or stderr, is a pipe that nobody reads."""
    if not hasattr(select, "poll"):
        return True
    watch = select.poll()
    for number in (1, 2):
        watch.register(number, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in watch.poll(0))


def _global_options(own: list[Any]) -> list[Any]:
    """Return the program's options for a command without such options; help is silent."""
    own_names = {name for param in own for name in param.opts}
    return [option for option in _after() if option.opts[0] not in own_names]


def _after() -> list[TyperOption]:
    if not _AFTER:
        group: Any = typer.main.get_group(_carrier)
        _AFTER.extend(p for p in group.commands["carrier"].params)
    return _AFTER


_AFTER: list[Any] = []
_carrier = typer.Typer(add_completion=False)


def _note(name: str) -> Callable[[typer.Context, Any], Any]:
    def callback(ctx: typer.Context, value: Any) -> Any:  # noqa: ANN401
        if value and ctx.obj is not None:
            ctx.obj[name] = value
        return value

    return callback


def _show_full(value: bool) -> bool:
    if value:
        FULL.set(value)
    return value


@_carrier.callback()
def _root() -> None:
    """Make it a group."""


@_carrier.command("carrier")
def _carry(
    store: str = typer.Option("", hidden=True, expose_value=False, callback=_note("store")),
    quiet: bool = typer.Option(
        False, "--quiet", hidden=True, expose_value=False, callback=_note("quiet")
    ),
    full: bool = typer.Option(
        False, "--full", hidden=True, expose_value=False, callback=_show_full
    ),
) -> None:
    """Have typer make the options."""


class Program(typer.Typer):
    """A typer whose commands are :class:`Command` and whose groups are :class:`Group`."""

    def __init__(self, **about: Any) -> None:  # noqa: ANN401
        super().__init__(**{"cls": Group, **about})

    def command(
        self,
        name: str | None = None,
        **about: Any,  # noqa: ANN401 - typer's own
    ) -> Callable[[F], F]:
        """Register a command."""
        return super().command(name, **{"cls": Command, **about})
