"""Times of cron expressions."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fstore.cron import parse_cron
from fstore.errors import DataError


def times(text: str, start: str, n: int, timezone: str = "UTC") -> list[str]:
    """Return the first times after a moment of UTC, in UTC, with the weekday."""
    cron, moment, found = parse_cron(text, timezone), datetime.fromisoformat(start), []
    moment = moment.replace(tzinfo=UTC)
    for _ in range(n):
        moment = cron.after(moment).astimezone(UTC)
        found.append(f"{moment:%a %m-%d %H:%M}")
    return found


def test_time_zone() -> None:
    """A time is that of the time zone; in Berlin it is 3:00 at 2:00 UTC in winter."""
    assert times("0 3 * * *", "2026-11-25 01:00", 2, "Europe/Berlin") == [
        "Wed 11-25 02:00",
        "Thu 11-26 02:00",
    ]
    assert times("0 3 * * *", "2026-11-25 02:00", 1, "Europe/Berlin") == ["Thu 11-26 02:00"]


def test_clocks_go_forward() -> None:
    """2:30, which the night of 29 March 2026 lacks in Berlin, is at 3:30 that night (1:30 UTC)."""
    assert times("30 2 * * *", "2026-03-28 12:00", 2, "Europe/Berlin") == [
        "Sun 03-29 01:30",
        "Mon 03-30 00:30",
    ]
    assert times("0 3 * * *", "2026-03-28 12:00", 2, "Europe/Berlin") == [
        "Sun 03-29 01:00",
        "Mon 03-30 01:00",
    ]


def test_clocks_go_back() -> None:
    """2:30, which comes twice on 25 October 2026 in Berlin, is both times; 3:00 is once."""
    assert times("30 2 * * *", "2026-10-24 12:00", 3, "Europe/Berlin") == [
        "Sun 10-25 00:30",
        "Sun 10-25 01:30",
        "Mon 10-26 01:30",
    ]
    assert times("0 3 * * *", "2026-10-24 12:00", 2, "Europe/Berlin") == [
        "Sun 10-25 02:00",
        "Mon 10-26 02:00",
    ]


def test_a_start_between_the_lacking_time_and_its_stead() -> None:
    """From 3:10 on that night in March, 2:30 is still to come: at 3:30."""
    assert times("30 2 * * *", "2026-03-29 01:10", 2, "Europe/Berlin") == [
        "Sun 03-29 01:30",
        "Mon 03-30 00:30",
    ]


def test_a_time_that_comes_twice_comes_no_third_time() -> None:
    """The time after the second 2:30 of that night in October is that of the next day."""
    cron = parse_cron("30 2 * * *", "Europe/Berlin")
    second = cron.after(datetime(2026, 10, 25, 0, 45, tzinfo=UTC))
    assert second.astimezone(UTC) == datetime(2026, 10, 25, 1, 30, tzinfo=UTC)
    after = cron.after(second)  # aware, in Berlin, as a schedule asks
    assert after.astimezone(UTC) == datetime(2026, 10, 26, 1, 30, tzinfo=UTC)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"])
@pytest.mark.parametrize("text", ["30 2 * * *", "*/15 * * * *", "0 1-3 * * *", "30 1 * * 0"])
def test_no_time_is_skipped_or_repeated(zone: str, text: str) -> None:
    """Whenever one asks, around each change of clocks of 2026, the answer is the next time."""
    cron, day = parse_cron(text, zone), timedelta(days=1)
    for moment in _changes(zone):
        walked, at = [], moment - day
        while at < moment + day:
            at = cron.after(at).astimezone(UTC)
            walked.append(at)
        for minutes in range(-300, 300, 5):
            asked = moment + timedelta(minutes=minutes)
            expected = next(time for time in walked if time > asked)
            assert cron.after(asked).astimezone(UTC) == expected


def _changes(zone: str) -> list[datetime]:
    """Return the hours of UTC of 2026 in which a zone's offset changes."""
    hours = [datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=n) for n in range(365 * 24)]
    offsets = [hour.astimezone(ZoneInfo(zone)).utcoffset() for hour in hours]
    return [b for b, x, y in zip(hours[1:], offsets, offsets[1:], strict=False) if x != y]


@pytest.mark.parametrize(
    ("weekday", "days"),
    [
        ("0", "Sun"),
        ("7", "Sun"),
        ("SUN", "Sun"),
        ("1", "Mon"),
        ("1-5", "Mon Tue Wed Thu Fri"),
        ("mon-fri", "Mon Tue Wed Thu Fri"),
        ("5-7", "Fri Sat Sun"),
        ("0-0", "Sun Sun"),
        ("sun-sun", "Sun Sun"),
        ("0-1", "Mon Sun"),
        ("fri-sun", "Fri Sat Sun"),
        ("0-6", "Mon Tue Wed Thu Fri Sat Sun"),
        ("*/2", "Tue Thu Sat Sun"),
        ("6,3", "Wed Sat"),
        ("1-5/2", "Mon Wed Fri"),
    ],
)
def test_weekdays_are_those_of_crontab(weekday: str, days: str) -> None:
    """Sunday is 0 and 7, Monday is 1; 23 November 2026 is a Monday."""
    expected = days.split()
    found = times(f"0 3 * * {weekday}", "2026-11-23 00:00", len(expected))
    assert [time[:3] for time in found] == expected
    assert found[len(set(expected)) - 1][4:9] <= "11-29"


def test_day_of_month_or_weekday() -> None:
    """Where both are given, either fits, as in crontab; with a star in one, the other counts."""
    assert times("0 3 1 * 1", "2026-11-28 00:00", 3) == [
        "Mon 11-30 03:00",
        "Tue 12-01 03:00",
        "Mon 12-07 03:00",
    ]
    assert times("0 3 1 * *", "2026-11-28 00:00", 1) == ["Tue 12-01 03:00"]


def test_nicknames() -> None:
    """@daily is midnight, @weekly that of Sunday."""
    assert times("@daily", "2026-11-25 12:00", 1) == ["Thu 11-26 00:00"]
    assert times("@weekly", "2026-11-25 12:00", 1) == ["Sun 11-29 00:00"]


def test_the_machine_s_time_zone() -> None:
    """Without a name the time zone is the machine's."""
    code = (
        "from datetime import UTC, datetime; from fstore.cron import parse_cron;"
        "print(parse_cron('0 3 * * *').after(datetime(2026, 11, 25, 12, tzinfo=UTC)))"
    )
    environment = {**os.environ, "TZ": "Asia/Kolkata"}  # read once in a process
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout == "2026-11-26 03:00:00+05:30\n"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("0 3 * *", "4 fields, not 5"),
        ("61 * * * *", "61"),
        ("x * * * *", '"x"'),
        ("0 3 * * 8", "'8' is no weekday"),
        ("0 3 * * foo", "'foo' is no weekday"),
        ("0 3 * * 5-2", "'5-2' is no range"),
        ("0 3 * * */0", r"'\*/0' is no range"),
        ("0 3 * * 1/x", "'x'"),
        ("0 3 31 2 *", "never comes"),
        ("", "0 fields"),
    ],
)
def test_mistakes_are_named(text: str, why: str) -> None:
    """What is no cron expression, or never comes, is refused with the reason."""
    with pytest.raises(DataError, match=why):
        parse_cron(text, "UTC")


@pytest.mark.parametrize("name", ["Mars/Olympus", "../etc/passwd", "Europe/"])
def test_unknown_time_zones(name: str) -> None:
    """A time zone that is not there is named."""
    with pytest.raises(DataError, match="no time zone"):
        parse_cron("0 3 * * *", name)
