"""The ``fstore`` program: its options, its commands, and the place where errors become text."""

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from fstore.errors import FstoreError

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Group", "app", "open_store", "sub_app"]


class Group(TyperGroup):
    """Commands that turn a named error into ``error: ...`` on stderr and exit status 1."""

    def invoke(self, ctx: Any) -> Any:  # noqa: ANN401 - typer's own copy of click, not public
        """Run the command; a named error ends it with status 1, Ctrl-C with 130."""
        try:
            return super().invoke(ctx)
        except FstoreError as error:
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(1) from error
        except KeyboardInterrupt:
            typer.echo("interrupted; what was finished is kept", err=True)
            raise typer.Exit(130) from None


HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    cls=Group,
    name="fstore",
    help="A feature store and batch analytics for neural-network activations.",
    context_settings=HELP_OPTIONS,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def sub_app(name: str, summary: str) -> typer.Typer:
    """Return a group of commands ``fstore NAME ...``, added to the program."""
    group = typer.Typer(
        cls=Group,
        name=name,
        help=summary,
        no_args_is_help=True,
        context_settings=HELP_OPTIONS,
        rich_markup_mode=None,
    )
    app.add_typer(group, name=name)
    return group


@app.callback()
def root(
    ctx: typer.Context,
    store: Annotated[
        str,
        typer.Option(
            help="Directory of the store. Default: $FSTORE_STORE, else ./fstore-store.",
            show_default=False,
        ),
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars, no notes.")] = False,
) -> None:
    """Note where the store is and how much to say."""
    location = store or os.environ.get("FSTORE_STORE") or "fstore-store"
    ctx.obj = {"store": location, "quiet": quiet}


def open_store(ctx: typer.Context) -> "Store":
    """Open the store that ``--store`` names; it must exist (``fstore init`` makes one)."""
    from fstore.store import Store

    return Store.open(ctx.obj["store"])
