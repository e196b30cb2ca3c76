"""What people see in a terminal: tables that fit it, reports as tables, sizes, the SQL shell."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from _build import build
from _cli import run
from fstore.cli.shell import run_shell
from fstore.cli.table import write_table
from fstore.errors import QueryError
from fstore.store import Store


def lines_of(
    capsys: pytest.CaptureFixture[str],
    rows: Sequence[Sequence[str]],
    columns: Sequence[str],
    width: int | None = None,
) -> tuple[list[str], str]:
    """Return what is written, line by line, and what is said of it."""
    said = write_table(rows, columns, width=width)
    return capsys.readouterr().out.splitlines(), said


def test_a_table_that_fits_is_not_cut(capsys: pytest.CaptureFixture[str]) -> None:
    """Where all fits, all is there, numbers to the right."""
    lines, said = lines_of(capsys, [["a", "1"], ["bb", "20"]], ["name", "n"], width=10)
    assert lines == ["name   n", "----  --", "a      1", "bb    20"]
    assert not said


def test_long_texts_are_shortened_before_columns_go(capsys: pytest.CaptureFixture[str]) -> None:
    """The widest texts give way first; no line is longer than the terminal; it is said."""
    row = ["x" * 60, "12345", "y" * 30]
    lines, said = lines_of(capsys, [row], ["why", "n", "name"], width=60)
    assert max(map(len, lines)) <= 60
    assert "12345" in lines[2]
    assert "y" * 24 in lines[2]
    assert lines[2].count("…") == 2
    assert "shortened" in said


@pytest.mark.parametrize("width", [20, 40, 80, 100])
def test_columns_in_the_middle_are_left_out(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    """The first and the last columns stay, and how many are not shown is said."""
    names = [f"column_{i:03d}" for i in range(30)]
    lines, said = lines_of(capsys, [["1234567890"] * 30], names, width=width)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("column_000")
    shown = lines[0].split()
    assert "…" in shown
    assert said.startswith(f"{30 - (len(shown) - 1)} of 30 columns")


@pytest.mark.parametrize("width", range(1, 60, 7))
def test_any_width_gives_a_table(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Even a terminal of one character gets its first column."""
    lines, _ = lines_of(capsys, [["abc", "", "1.5"]], ["a", "b", "c"], width=width)
    assert lines[2].startswith("abc")


def test_sizes_stand_to_the_right(capsys: pytest.CaptureFixture[str]) -> None:
    """Sizes with their units are numbers to a reader."""
    lines, _ = lines_of(capsys, [["9.0 MiB"], ["812 bytes"], [""]], ["bytes"])
    assert lines[2:] == ["  9.0 MiB", "812 bytes", ""]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with activations."""
    return build(tmp_path_factory.mktemp("terminal") / "store").store


def test_status_has_sizes_for_people_and_bytes_for_programs(store: Store) -> None:
    """A table says KiB or MiB; --json and --csv have bytes."""
    assert "iB" in run(store, "status").stdout.splitlines()[2]
    assert "iB" not in run(store, "status", "--csv").stdout


def in_terminal(*words: str, typed: str = "", columns: int = 70, state: Path) -> str:
    """Run the program in a terminal of so many columns; return what it showed."""
    master, slave = pty.openpty()
    environment = {
        **os.environ, "XDG_STATE_HOME": str(state), "COLUMNS": str(columns), "TERM": "dumb",
    }  # fmt: skip
    program = subprocess.Popen(
        [sys.executable, "-m", "fstore", *words],
        stdin=slave, stdout=slave, stderr=slave, env=environment, close_fds=True,
    )  # fmt: skip
    os.close(slave)
    os.write(master, typed.encode())
    shown = b"".join(_read(master))
    program.wait(timeout=60)
    os.close(master)
    return shown.decode().replace("\r\n", "\n")


def _read(master: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(master, 1 << 16)
        except OSError:  # the program has ended
            return
        if not data:
            return
        yield data


def test_a_terminal_gets_a_table_that_fits(store: Store, tmp_path: Path) -> None:
    """In a narrow terminal status is cut and says so; --full shows all."""
    place = ["--store", str(store.path)]
    narrow = in_terminal(*place, "status", columns=50, state=tmp_path)
    assert max(map(len, narrow.splitlines()[:3])) <= 50
    assert "--full shows all" in narrow
    assert "raw_bytes" in in_terminal(*place, "status", "--full", columns=50, state=tmp_path)


def test_sql_without_a_statement_is_a_shell(store: Store, tmp_path: Path) -> None:
    """Statements of several lines are answered, and kept for the next time."""
    typed = "SELECT 41 + 1\nAS answer;\n.quit\n"
    shown = in_terminal("--store", str(store.path), "sql", typed=typed, state=tmp_path)
    assert "answer\n------\n    42" in shown
    assert "AS answer;" in (tmp_path / "fstore" / "sql_history").read_text()


def test_the_shell_goes_on_after_an_error(store: Store) -> None:
    """An error, an empty line and a dropped line end no shell; a quote may hold a semicolon."""
    dropped = KeyboardInterrupt()
    lines = ["", "SELECT nope;", "SELECT 'a;", "b';", "SELECT 2", dropped, ".help", "SELECT 1;"]
    typed = iter(lines)
    asked: list[str] = []

    def ask(_prompt: str) -> str:
        line = next(typed, None)
        if line is None:
            raise EOFError
        if isinstance(line, KeyboardInterrupt):
            raise line
        return str(line)

    def answer(statement: str) -> None:
        asked.append(statement)
        if "nope" in statement:
            raise QueryError("no such column")

    run_shell(store, answer, ask=ask)
    assert asked == ["SELECT nope;", "SELECT 'a;\nb';", "SELECT 1;"]


def test_without_a_terminal_a_statement_is_asked_for(store: Store) -> None:
    """A script that forgets the statement gets an error, not a shell that waits."""
    result = run(store, "sql")
    assert result.exit_code == 2
    assert "give one statement" in result.stderr


def test_names_are_completed(store: Store) -> None:
    """Tables, columns, macros and the store's own layers are completed."""
    from fstore.cli.shell import _completer

    complete = _completer(store)
    layer = next(store.sql("SELECT layer FROM partitions LIMIT 1").rows())["layer"]
    for word, name in {"activ": "activations", "act_m": "act_max", layer[:3]: layer}.items():
        offered: list[str] = []
        while (option := complete(word, len(offered))) is not None:
            offered.append(option)
        assert name in offered
