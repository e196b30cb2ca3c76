"""``fstore dataset``: register data sets, and list what they hold."""

from typing import Annotated, Any

import typer

from fstore.cli.app import listed_store, open_store, sub_app
from fstore.cli.commands import Group
from fstore.cli.output import AsCsv, AsJson, emit
from fstore.cli.splits import OldSeed, SplitName, split_meant

__all__ = ["dataset"]


class Datasets(Group):
    """The group ``fstore dataset``, whose command ``add`` is made when it is wanted."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401 - typer's own copy of click
        """Return the names of the commands."""
        return ["add", *(name for name in super().list_commands(ctx) if name != "add")]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ANN401
        """Return a command."""
        if cmd_name == "add" and "add" not in self.commands:
            from fstore.cli._dataset_add import add_command

            self.commands["add"] = add_command()
        return super().get_command(ctx, cmd_name)


dataset = sub_app("dataset", "Register data sets, and list what they hold.", Datasets)

_COLUMNS = ("name", "format", "task", "classes", "views", "root")


@dataset.command("list")
def list_(ctx: typer.Context, as_json: AsJson = False, as_csv: AsCsv = False) -> None:
    """List the registered data sets.

    Example: fstore dataset list --json
    """
    rows = (
        {
            "name": d.name,
            "format": d.format,
            "task": d.task,
            "classes": len(d.classes),
            "views": list(d.views),
            "root": str(d.root),
        }
        for d in listed_store(ctx).datasets()
    )
    emit(rows, columns=_COLUMNS, as_json=as_json, as_csv=as_csv)


@dataset.command("show")
def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name of a registered data set.")],
    *,
    split: SplitName = None,
    seed: OldSeed = None,
    as_json: AsJson = False,
    as_csv: AsCsv = False,
) -> None:
    """Count a data set's samples by view, class and part; the row without a class is all.

    Example: fstore dataset show voc07 --split random:0
    """
    from fstore.queries.samples.counts import COUNT_COLUMNS, dataset_counts

    store = open_store(ctx)
    named = split is not None or seed is not None
    which = split_meant(ctx, store, [name], split=split, seed=seed) if named else None
    rows = dataset_counts(store, name, split=which)
    emit(rows, columns=COUNT_COLUMNS, as_json=as_json, as_csv=as_csv)
