"""The ``fstore`` program: its options, its commands, and where the store is."""

import os
from typing import TYPE_CHECKING, Annotated

import typer

from fstore import commands
from fstore.cli.commands import Group, Program
from fstore.cli.output import FULL
from fstore.names import network_name

if TYPE_CHECKING:
    from fstore.store import Store

__all__ = ["Group", "app", "listed_store", "open_store", "sub_app"]


HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}

app = Program(
    name="fstore",
    help="A feature store and batch analytics for neural-network activations.",
    context_settings=HELP_OPTIONS,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def sub_app(name: str, summary: str, cls: type[Group] = Group) -> typer.Typer:
    """Return a group of commands ``fstore NAME ...``, added to the program."""
    group = Program(
        cls=cls,
        name=name,
        help=summary,
        no_args_is_help=True,
        context_settings=HELP_OPTIONS,
        rich_markup_mode=None,
    )
    app.add_typer(group, name=name)
    return group


VERSIONS = ("torch", "torchvision", "duckdb", "deltalake", "polars", "pyarrow")
"""Libraries on which it depends what is stored, or what is read."""


def _show_versions(asked: bool) -> None:
    """Print the versions, and what a network would run on; then end."""
    if not asked:
        return
    import platform
    from importlib.metadata import version

    from fstore.extractor.devices import find_devices

    told = {"fstore": version("fstore"), "python": platform.python_version()}
    told |= {name: version(name) for name in VERSIONS}
    told["device"] = ", ".join(str(device) for device in find_devices("auto"))
    for name, value in told.items():
        typer.echo(f"{name:<12}{value}")
    raise typer.Exit


@app.callback()
def root(
    ctx: typer.Context,
    *,
    version: Annotated[  # noqa: ARG001 - its callback answers
        bool,
        typer.Option(
            "--version",
            callback=_show_versions,
            is_eager=True,
            help="Show the versions of fstore and its libraries, and the device that is found.",
        ),
    ] = False,
    store: Annotated[
        str,
        typer.Option(
            help="Where the store is: a folder, or a URI such as s3://bucket/prefix. Default: "
            "$FSTORE_STORE, else ./fstore-store. May stand after the command.",
            show_default=False,
        ),
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bars, no notes.")] = False,
    full: Annotated[
        bool, typer.Option("--full", help="Tables whole, also where a terminal is too narrow.")
    ] = False,
) -> None:
    """Note where the store is and how much to say."""
    FULL.set(full)
    location = store or commands.default_place()
    try:
        location.encode()
    except UnicodeEncodeError as error:
        raise typer.BadParameter(
            f"$FSTORE_STORE {location!a} holds bytes that are no UTF-8"
        ) from error
    ctx.obj = {"store": location, "quiet": quiet}


def open_store(ctx: typer.Context) -> "Store":
    """Open the store that ``--store`` names; it must exist (``fstore init`` makes one)."""
    from fstore.store import Store

    store = Store.open(ctx.obj["store"], trust=os.environ.get("FSTORE_TRUST") == "1")
    store.trusted.update(map(network_name, _networks(ctx)))
    return store


def listed_store(ctx: typer.Context) -> "Store":
    """Open the store for a command that only lists: no code of the user's runs in it."""
    from fstore.store.arrow_alone import without_pandas

    without_pandas()
    return open_store(ctx)


def _networks(ctx: typer.Context) -> list[str]:
    """Return the networks that this command line names: the user agrees to run them."""
    named = ctx.params.get("network") or []
    return [named] if isinstance(named, str) else list(named)
