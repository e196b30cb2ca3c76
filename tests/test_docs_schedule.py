"""What ``docs/schedule.md`` shows works: command lines, units of systemd, names of variables."""

import re
import shlex
import shutil
import subprocess
import sys
from configparser import ConfigParser
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from fstore.cli import app
from fstore.queries.schedule.cron import parse_cron
from fstore.queries.schedule.hooks import parse_hooks

ROOT = Path(__file__).parent.parent
TEXT = (ROOT / "docs/schedule.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", TEXT, flags=re.DOTALL)
UNITS = {
    Path(text.split("\n", 1)[0].removeprefix("# ")).name: text
    for language, text in BLOCKS
    if language == "ini"
}


def parsed(words: list[str]) -> tuple[str, dict[str, object]]:
    """Parse a command line of ``fstore``, without doing it: the command and its options."""
    program = get_command(app)
    assert isinstance(program, TyperGroup)
    context = program.make_context("fstore", words)
    name, command, rest = program.resolve_command(
        context, [*context._protected_args, *context.args]
    )
    assert command is not None
    assert name is not None
    return name, dict(command.make_context(name, rest, parent=context).params)


def command_lines() -> list[str]:
    """Return each command line of the page that starts with fstore, those of units as well."""
    plain = "\n".join(text for language, text in BLOCKS if not language).replace("\\\n", " ")
    found = [line for line in plain.splitlines() if line.startswith("fstore ")]
    found += [line.split("  ", 1)[1] for line in plain.splitlines() if "bin/fstore" in line]
    for text in UNITS.values():
        found += re.findall(r"^ExecStart=(.*)$", text, flags=re.MULTILINE)
    return found


@pytest.mark.parametrize("line", command_lines())
def test_command_lines_parse(line: str) -> None:
    """A command line of the page has only options that there are, and times that come."""
    words = shlex.split(line, comments=True)
    name, options = parsed(words[1:])
    assert name in {"schedule", "runs"}
    if name == "schedule":
        assert bool(options["cron"]) != options["once"]
        if options["cron"]:
            parse_cron(str(options["cron"]), str(options["timezone"]))
        parse_hooks(webhook=str(options["webhook"]))


def test_command_lines_are_found() -> None:
    """The test above sees those of the text, of cron and of both services."""
    lines = command_lines()
    assert len(lines) == 8
    assert sum("--once" in line for line in lines) == 3


def test_options_that_are_gone_would_be_found() -> None:
    """The test above would notice an option that does not exist."""
    with pytest.raises(Exception, match="No such option"):
        parsed(["schedule", "--cronn", "x"])


@pytest.mark.parametrize("name", UNITS)
def test_units_are_right(name: str, tmp_path: Path) -> None:
    """``systemd-analyze verify`` has nothing to say about a unit of the page."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    for other, text in UNITS.items():  # a timer's service is looked for beside it
        shown = text.replace("/opt/fstore/bin/fstore", sys.executable)
        (tmp_path / other).write_text(shown.replace("User=fstore", "User=root"))
    command = ["systemd-analyze", "verify", "--man=no", str(tmp_path / name)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if Path(name).stem in line]
    assert (done.returncode, ours) == (0, [])


def test_the_timer_and_the_service_agree() -> None:
    """The timer starts the service of its name, at the time at which the other service runs."""
    assert set(UNITS) == {
        "fstore-schedule.service",
        "fstore-refresh.timer",
        "fstore-refresh.service",
    }
    timer, service = (
        _options(UNITS[name]) for name in ("fstore-refresh.timer", "fstore-schedule.service")
    )
    _, options = parsed(shlex.split(service["service"]["execstart"])[1:])
    cron = parse_cron(str(options["cron"]), str(options["timezone"]))
    due = cron.after(datetime(2026, 11, 25, tzinfo=UTC))
    assert timer["timer"]["oncalendar"] == f"*-*-* {due:%H:%M:%S} {options['timezone']}"


@pytest.mark.parametrize("name", sorted(set(re.findall(r"FSTORE_[A-Z_]+", TEXT))))
def test_variables_are_those_of_the_program(name: str) -> None:
    """A variable that the page names is one that the program reads or sets."""
    sources = [*(ROOT / "queries/schedule").glob("*.py"), *(ROOT / "cli").glob("*.py")]
    assert any(f'"{name}"' in path.read_text() for path in sources)


def _options(unit: str) -> dict[str, dict[str, str]]:
    """Return a unit's sections."""
    parser = ConfigParser(interpolation=None)
    parser.read_string(unit)
    return {section.lower(): dict(parser[section]) for section in parser.sections()}
