"""Suggested commands: each is what the real command line takes, and none is written elsewhere."""

import ast
import inspect
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from typer import Context
from typer.main import get_command

from fstore import commands
from fstore.cli import app

ROOT = Path(__file__).parent.parent
ROOMS = ("store", "queries", "src/fstore", "cli", "extractor")

NASTY = ("my data", "it's", 'a"b', "-x", "--help", "$HOME;`ls`", "ä\n😀", "a=b", "*")
"""Names that a shell, or a reader of options, would take for something else."""

NO_COMMANDS = {"default_place", "portable"}
"""Functions of the module that build none."""

Click: TypeAlias = Any
"""An object of typer's own copy of click, which is not public."""


def parsed(line: str) -> tuple[str, dict[str, Any], Click]:
    """Parse a line as the program would, without doing it.

    Returns the command's words, its options and arguments, and the context of the program.
    """
    first, *words = shlex.split(line)
    assert first == "fstore"
    group = PROGRAM
    root = context = group.make_context("fstore", words)
    root.obj = {"store": root.params["store"], "quiet": False}
    names = []
    while hasattr(group, "commands"):
        rest = [*context._protected_args, *context.args]
        name, group, rest = group.resolve_command(context, rest)
        context = group.make_context(name, rest, parent=context)
        names.append(name)
    return " ".join(names), context.params, root


def leaves(command: Click, context: Click) -> Iterator[tuple[str, Click, Click]]:
    """Yield the words, the object and the context of every command there is."""
    if not hasattr(command, "commands"):
        yield context.command_path.removeprefix("fstore "), command, context
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        yield from leaves(inner, Context(inner, parent=context, info_name=name))


PROGRAM: Click = get_command(app)
LEAVES = list(leaves(PROGRAM, Context(PROGRAM, info_name="fstore")))
COMMANDS = {words: command.get_params(context) for words, command, context in LEAVES}


def cases(odd: str) -> dict[str, Callable[[commands.Where], str]]:
    """Return, for each builder, a call with all it takes, text being ``odd``."""
    c = commands
    where = {"network": odd, "ckpt": odd, "dataset": odd, "view": odd, "layer": odd}
    recipe: dict[str, commands.Value] = {
        "lr": 1e-05, "batch_size": 4, "momentum": 0.9, "weight_decay": 5e-4, "step": 10,
        "gamma": 0.1, "mirror": False, "amp": "bfloat16",
    }  # fmt: skip
    return {
        "init": c.init,
        "status": c.status,
        "sql": lambda s: c.sql(s, odd),
        "verify": lambda s: c.verify(s, add_checksums=True),
        "index": lambda s: c.index(s, where),
        "compact": lambda s: c.compact(s, where),
        "gc": lambda s: c.gc(s, older_than=0.5),
        "drop": lambda s: c.drop(s, where, checkpoint=True, yes=True),
        "dataset_add": lambda s: c.dataset_add(
            s, odd, format=odd, root=odd, seeds=[0, 1], fractions=(0.5, 0.1, 0.4),
            options={"year": odd, "zero_based": True, "images": 3},
        ),
        "ckpt_import": lambda s: c.ckpt_import(
            s, odd, network=odd, name=odd,
            options={"iteration": 5, "parent": odd, "mean": Path("m.npy"), "key": None},
        ),
        "ckpt_trust": lambda s: c.ckpt_trust(s, odd),
        "ckpt_init": lambda s: c.ckpt_init(s, network=odd, name=odd, seed=3),
        "proposals": lambda s: c.proposals(
            s, dataset=odd, method=odd, max_proposals=5, part="random:0:test"
        ),
        "extract": lambda s: c.extract(
            s, layers=[odd, "fc"], ckpts=[odd, "n/5"], dataset=odd, view=odd, part=odd,
            precision="tf32",
        ),
        "layers": lambda s: c.layers(s, odd),
        "train_pretrain": lambda s: c.train_pretrain(
            s, network=odd, dataset=odd, iterations=9, snapshots=[3, 9], seed=1, split="random:2",
            name_prefix=odd, changes=recipe,
        ),
        "train_finetune": lambda s: c.train_finetune(
            s, network=odd, parent=odd, mode="fc-ft", datasets=[odd, "e"], view="gt",
            split="random", seed=2, name=odd, iterations=9, trainval=True, changes=recipe,
        ),
        "detect_train": lambda s: c.detect_train(
            s, layer=odd, ckpt=odd, datasets=[odd, "e"], ablation=odd, name=odd, overwrite=True
        ),
        "detect_eval": lambda s: c.detect_eval(s, odd),
        "study_set": lambda s: c.study_set(s, odd),
        "report_findings": c.report_findings,
        "explore": c.explore,
        "report_list": lambda s: c.report_list(s, study=odd),
        "report_show": lambda s: c.report_show(s, odd, study=odd, plot="x.png"),
        "report_refresh": lambda s: c.report_refresh(s, odd, "table6", study=odd),
        "report_build": lambda s: c.report_build(s, odd, overwrite=True),
    }  # fmt: skip


BUILDERS = sorted(set(commands.__all__) - NO_COMMANDS)


def test_every_builder_is_among_the_cases() -> None:
    """What the module offers is parsed below, and it offers every function that it has."""
    public = {
        name
        for name, function in inspect.getmembers(commands, inspect.isfunction)
        if function.__module__ == commands.__name__ and not name.startswith("_")
    }
    assert public == set(commands.__all__)
    assert set(cases("x")) == set(BUILDERS)


@pytest.mark.parametrize("odd", NASTY)
@pytest.mark.parametrize("name", BUILDERS)
def test_a_line_is_taken_by_the_command_line(name: str, odd: str, tmp_path: Path) -> None:
    """Each line parses, as the command that the builder is named for, and every name arrives."""
    place = tmp_path / "the store" / odd.replace("/", "")
    words, params, root = parsed(cases(odd)[name](place))
    assert words == name.replace("_", " ")
    assert root.obj["store"] == str(place)
    values = [v for p in params.values() for v in (p if isinstance(p, list) else [p])]
    names = shlex.split(cases("xyz")[name](None)).count("xyz")
    assert [str(value) for value in values].count(odd) == names


@pytest.mark.parametrize("name", BUILDERS)
def test_the_store_stands_at_the_end(name: str) -> None:
    """A line without a store, and one made portable, is the line of a store without its end."""
    with_store, without = (cases("x")[name](store) for store in ("/far/away", None))
    assert with_store == f"{without} --store /far/away"
    assert commands.portable(f"do: {with_store}; then", "/far/away") == f"do: {without}; then"
    assert commands.portable(with_store, "/far/away", to="/a b") == f"{without} --store '/a b'"
    assert commands.portable(without, None, to="/a b") == without


@pytest.mark.parametrize("words", sorted(COMMANDS))
def test_every_command_takes_the_store_at_its_end(words: str) -> None:
    """Each command there is has the option ``--store`` itself, where suggestions put it."""
    assert "--store" in {name for param in COMMANDS[words] for name in param.opts}


# where the store is


def test_the_default_place_needs_no_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in ./fstore-store, or at $FSTORE_STORE, is found without ``--store``; no other is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FSTORE_STORE", raising=False)
    here, other = tmp_path / "fstore-store", tmp_path / "other"
    assert commands.status(here) == commands.status("fstore-store") == "fstore status"
    assert commands.status(other) == f"fstore status --store {other}"
    assert commands.status("other") == "fstore status --store other"
    monkeypatch.setenv("FSTORE_STORE", str(other))
    assert commands.status(other) == "fstore status"
    assert commands.status(here) == f"fstore status --store {here}"


@pytest.mark.parametrize("variable", ["", "elsewhere"])
def test_the_default_place_is_the_programs(
    variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the line leaves out is what the program takes by itself."""
    from typer.testing import CliRunner

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FSTORE_STORE", variable)
    place = Path(commands.default_place())
    assert place.name == (variable or "fstore-store")
    assert CliRunner().invoke(app, shlex.split(commands.init(place))[1:]).exit_code == 0
    assert (tmp_path / place / "fstore.json").is_file()


# what a line leaves out


def test_what_is_a_default_is_left_out() -> None:
    """Options that say nothing are not written: seeds of 0, no parent, False of a format."""
    assert commands.dataset_add(None, "d", format="voc", options={"zero_based": False}) == (
        "fstore dataset add d --format voc"
    )
    assert commands.train_pretrain(None, network="n", dataset="d", iterations=5, snapshots=[5]) == (
        "fstore train pretrain --network n --dataset d --iterations 5 --snapshots 5"
    )
    line = commands.train_finetune(
        None, network="n", parent=None, mode="scratch", datasets=["d"], view="image",
        split="official", seed=0, name="c",
    )  # fmt: skip
    assert line == (
        "fstore train finetune --network n --mode scratch --dataset d --view image "
        "--split official --seed 0 --name c"
    )


# nowhere else

SUGGESTED = re.compile(
    rf"\bfstore (?:{'|'.join(sorted(PROGRAM.commands))})\b"
    r"|\bfstore (?:--|$)"
)
"""A command of the program in a text; or the program's name and what is put in after it."""

NOT_SUGGESTED = {("queries/publish/build.py", "fstore report build")}
"""What says which command made a page: it is no advice, and never typed."""


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the texts of a source that may reach a reader; docstrings and help are exempt."""
    exempt: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            exempt.add(node.value)
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {
            "typer.Option",
            "typer.Argument",
        }:
            exempt.update(ast.walk(node))
        if isinstance(node, ast.keyword) and node.arg == "help":
            exempt.update(ast.walk(node.value))
    for node in ast.walk(tree):
        if node not in exempt and isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value


def written() -> Iterator[str]:
    """Yield where a command stands in a text of the source, outside the one module."""
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            name = path.relative_to(ROOT).as_posix()
            if name == "src/fstore/commands.py":
                continue
            for line, text in texts(ast.parse(path.read_text())):
                if SUGGESTED.search(text) and (name, text) not in NOT_SUGGESTED:
                    yield f"{name}:{line}: {text}"


def test_no_other_module_writes_a_command() -> None:
    """A command in a message comes from ``fstore.commands``, where it is parsed by a test."""
    assert list(written()) == []


def test_the_search_for_commands_finds_them() -> None:
    """In messages, pieces of f-strings and beside others; not in docstrings, nor in help."""
    source = '''
def f(x: Annotated[str, typer.Option(help="see: fstore status")]):
    """Run ``fstore status``."""
    raise E(f"make it with: fstore extract --layer {x}")
    g("use fstore " + x, "call fstore {x}", f"fstore {x}", "an older fstore wrote it")
'''
    found = [text for _, text in texts(ast.parse(source)) if SUGGESTED.search(text)]
    assert found == ["make it with: fstore extract --layer ", "use fstore ", "fstore "]


# examples of help


def example(words: str, command: Click) -> str:
    """Return the example of a command's help."""
    found = re.search(r"Example: (.*?)(?:\n\n|\Z)", command.help or "", re.DOTALL)
    assert found is not None, words
    return " ".join(found[1].split())


@pytest.mark.parametrize(("words", "command"), [(w, c) for w, c, _ in LEAVES])
def test_examples_of_help_parse(words: str, command: Click) -> None:
    """The example that a command's help shows is one of this command, and is taken."""
    found, _, _ = parsed(example(words, command))
    assert found == words
