"""Times of cron expressions."""

import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from fstore.errors import DataError
from fstore.queries.schedule.cron import parse_cron


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
    """2:30, which the night of 29 March 2026 lacks in Berlin, is at 3:00 that night (1:00 UTC)."""
    assert times("30 2 * * *", "2026-03-28 12:00", 2, "Europe/Berlin") == [
        "Sun 03-29 01:00",
        "Mon 03-30 00:30",
    ]
    assert times("0 3 * * *", "2026-03-28 12:00", 2, "Europe/Berlin") == [
        "Sun 03-29 01:00",
        "Mon 03-30 01:00",
    ]


def test_clocks_go_back() -> None:
    """2:30, which comes twice on 25 October 2026 in Berlin, is the first time; 3:00 is once."""
    assert times("30 2 * * *", "2026-10-24 12:00", 2, "Europe/Berlin") == [
        "Sun 10-25 00:30",
        "Mon 10-26 01:30",
    ]
    assert times("0 3 * * *", "2026-10-24 12:00", 2, "Europe/Berlin") == [
        "Sun 10-25 02:00",
        "Mon 10-26 02:00",
    ]


def test_a_job_of_every_hour_goes_by_the_clock() -> None:
    """Every half hour of the night when clocks go back is a run: none is lost, none too many."""
    assert times("*/30 * * * *", "2026-10-24 23:40", 5, "Europe/Berlin") == [
        "Sun 10-25 00:00",
        "Sun 10-25 00:30",
        "Sun 10-25 01:00",
        "Sun 10-25 01:30",
        "Sun 10-25 02:00",
    ]


@pytest.mark.parametrize(
    ("zone", "day", "expected"),
    [
        ("Europe/Berlin", "2026-03-28", "Sat 03-28 23:15"),  # 30 March, 0:15 of summer time
        ("America/New_York", "2026-03-08", "Mon 03-09 04:15"),
        ("Australia/Sydney", "2026-10-04", "Sun 10-04 13:15"),
    ],
)
def test_the_day_after_clocks_go_forward(zone: str, day: str, expected: str) -> None:
    """0:15 of the day after clocks went forward is not left out."""
    assert expected in times("15 0 * * *", f"{day} 00:00", 3, zone)


def test_a_job_of_midnight_where_midnight_is_skipped() -> None:
    """In Cairo on 24 April 2026 no clock shows 0:00 to 0:59; the job is at 1:00 (22:00 UTC)."""
    for text in ("0 0 * * *", "45 0 * * *", "*/15 0 * * *", "0 */24 * * *"):
        found = times(text, "2026-04-23 12:00", 1, "Africa/Cairo")
        assert found == ["Thu 04-23 22:00"]


ZONES = (
    *("Europe/Berlin", "America/New_York", "Australia/Sydney", "Australia/Lord_Howe"),
    *("Africa/Cairo", "America/Santiago", "Asia/Beirut", "America/Havana", "Africa/Casablanca"),
    *("Asia/Kolkata", "Pacific/Chatham", "UTC"),
)


def walk(zone: str, year: int) -> list[tuple[datetime, datetime]]:
    """Return each minute of a year, and the days around it, in UTC and as clocks show it."""
    start, place = datetime(year, 1, 1, tzinfo=UTC) - timedelta(days=2), ZoneInfo(zone)
    minutes = (start + timedelta(minutes=n) for n in range(369 * 1440))
    return [(t, t.astimezone(place).replace(tzinfo=None)) for t in minutes]


def by_hand(
    walked: list[tuple[datetime, datetime]], hours: set[int], minutes: set[int], year: int
) -> list[datetime]:
    """Return a year's times by looking at every minute; the rule in its plainest words."""
    if hours >= set(range(24)):  # as the clock shows
        return [t for t, wall in walked if wall.minute in minutes and wall.year == year]
    shown: dict[datetime, datetime] = {}
    for t, wall in walked:
        shown.setdefault(wall, t)  # the first of two
    found, one = set(), timedelta(minutes=1)
    day = datetime(year, 1, 1)  # noqa: DTZ001 - what a wall calendar shows
    while day.year == year:
        for hour in hours:
            for minute in minutes:
                wall = day.replace(hour=hour, minute=minute)
                while wall not in shown:  # skipped: when clocks have gone forward
                    wall += one
                found.add(shown[wall])
        day += timedelta(days=1)
    return sorted(found)


QUICK = ("Africa/Cairo",)


@pytest.mark.parametrize(
    "zone", [z if z in QUICK else pytest.param(z, marks=pytest.mark.slow) for z in ZONES]
)
def test_a_year_of_minutes(zone: str) -> None:
    """Each time of 2027, in twelve zones, is that of a walk over all minutes of the year."""
    walked = walk(zone, 2027)
    for text, hours, minutes in (
        ("15 0 * * *", {0}, {15}),
        ("30 2 * * *", {2}, {30}),
        ("*/20 1,2 * * *", {1, 2}, {0, 20, 40}),
        ("0 */6 * * *", {0, 6, 12, 18}, {0}),
        ("45 * * * *", set(range(24)), {45}),
    ):
        expected = by_hand(walked, hours, minutes, 2027)
        cron = parse_cron(text, zone)
        found: list[datetime] = []
        at = expected[0] - timedelta(minutes=1)
        while len(found) < len(expected):
            at = cron.after(at)
            found.append(at.astimezone(UTC))
        assert found == expected, text


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
        "from datetime import UTC, datetime; from fstore.queries.schedule.cron import parse_cron;"
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
        ("61 * * * *", "'61' is no minute"),
        ("x * * * *", "'x' is no minute"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 3 0 * *", "'0' is no day-of-month"),
        ("0 3 * 13 *", "'13' is no month"),
        ("*/0 3 * * *", "no minute"),
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
