"""``fstore dataset add``, whose options beside the common ones are those of the formats.

This module is imported when the command is wanted: the formats take longer to import than
``fstore --help`` should.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, get_type_hints

import typer

from fstore.cli.app import open_store
from fstore.cli.made import flag_of, made_commands, parameter, with_parameters
from fstore.cli.output import note
from fstore.cli.progress import bar
from fstore.docstrings import parameter_help
from fstore.extractor.datasets import FORMATS, format_options
from fstore.workflows.datasets import add_dataset, check_format

__all__ = ["add_command"]

NAMES = sorted(entry.name for entry in FORMATS)
GENERATED = ", ".join(sorted(entry.name for entry in FORMATS if entry.meta["generated"]))

Format = Annotated[
    str,
    typer.Option("--format", help=f"One of {', '.join(NAMES)}. Without files: {GENERATED}."),
]
Root = Annotated[
    str,
    typer.Option(
        help="Folder of the images, or s3://BUCKET/PREFIX with --copy-images. "
        f"Default for {GENERATED}: in the store."
    ),
]
Copy = Annotated[
    bool,
    typer.Option(
        "--copy-images", help="Copy the images into the store, for who opens it elsewhere."
    ),
]
Seeds = Annotated[
    list[str] | None,
    typer.Option(help="Add a stratified random split for each of these seeds: 0,1,2."),
]
Fractions = Annotated[
    str, typer.Option(help="Train, val, test shares of random splits. Default: 0.5,0.1,0.4.")
]


def add_command() -> Any:  # noqa: ANN401 - typer's own copy of click
    """Return typer's command for :func:`add`."""
    return made_commands({"add": add}, {})["add"]


def _with_format_options(function: Callable[..., None]) -> Callable[..., None]:
    """Say in a function's signature which options ``**options`` takes."""
    written = inspect.signature(function).parameters.values()
    own = [p for p in written if p.kind is not p.VAR_KEYWORD]
    return with_parameters(function, [*own, *_parameters()])


def _parameters() -> list[inspect.Parameter]:
    """Return the formats' options; None is the default of all, so that one sees what is given."""
    kinds: dict[str, Any] = {}
    texts: dict[str, dict[str, str]] = {}
    for entry in FORMATS:
        about = parameter_help(entry.function.__doc__ or "")
        types = get_type_hints(entry.function)
        for name, p in format_options(entry.name).items():
            kinds[name] = types[name]
            texts.setdefault(name, {})[entry.name] = about[name].replace("``", "") + _default(p)
    return [_parameter(name, kind, _help(texts[name])) for name, kind in kinds.items()]


def _default(p: inspect.Parameter) -> str:
    return "" if p.default in {"", None} or p.default is False else f" Default: {p.default}."


def _help(texts: Mapping[str, str]) -> str:
    """Join what formats say of an option; before it stands which formats have it."""
    formats: dict[str, list[str]] = {}
    for name, text in texts.items():
        formats.setdefault(text, []).append(name)
    return " ".join(f"{', '.join(names)}: {text}" for text, names in formats.items())


def _parameter(name: str, kind: Any, text: str) -> inspect.Parameter:  # noqa: ANN401
    return parameter(name, Annotated[kind | None, typer.Option(*flag_of(name, kind), help=text)])


@_with_format_options
def add(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(help="Name that the store will know it by.")],
    *,
    format_: Format,
    root: Root = "",
    copy_images: Copy = False,
    seeds: Seeds = None,
    fractions: Fractions = "",
    **options: Any,  # noqa: ANN401 - each format has its own
) -> None:
    """Register a data set: hash its files, record samples, labels, boxes and splits.

    Example: fstore dataset add voc07 --format voc --root VOCdevkit --year 2007
    """
    chosen = {option: value for option, value in options.items() if value is not None}
    check_format(format_, chosen)
    store, shares = open_store(ctx), _fractions(fractions)

    def tell(text: str) -> None:
        if not ctx.obj["quiet"]:
            note(f"{name}: {text}")

    with _progress(ctx) as report:
        added = add_dataset(
            store, name, format_, root=root or None, copy_images=copy_images,
            seeds=_seeds(seeds or ()), fractions=shares, on_progress=report, on_note=tell,
            **chosen,
        )  # fmt: skip
    sizes = ", ".join(f"{len(v.samples)} {v.view}" for v in added.manifest.views)
    tell(f"{'registered' if added.new else 'registered already, unchanged'} ({sizes})")


def _seeds(words: Sequence[str]) -> tuple[int, ...]:
    try:
        return tuple(map(int, words))
    except ValueError as exc:
        told = ",".join(words)
        raise typer.BadParameter(f"seeds {told!r} are not whole numbers like 0,1,2") from exc


def _fractions(text: str) -> tuple[float, float, float] | None:
    if not text:
        return None
    try:
        train, val, test = (float(word) for word in text.split(","))
    except ValueError as exc:
        raise typer.BadParameter(f"fractions {text!r} are not three like 0.5,0.1,0.4") from exc
    return train, val, test


@contextmanager
def _progress(ctx: typer.Context) -> Iterator[Callable[[int, int], None]]:
    with bar(quiet=ctx.obj["quiet"]) as update:
        yield lambda done, total: update("hashing", done, total, "files")
