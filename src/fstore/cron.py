"""Times of a cron expression, in a time zone: APScheduler's trigger with crontab's weekdays.

APScheduler counts weekdays from Monday = 0 and wants day of month *and* weekday to fit; crontab(5)
counts from Sunday = 0 or 7 and takes either where both are given. Users write crontab's.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from fstore.errors import DataError

if TYPE_CHECKING:
    from apscheduler.triggers.base import BaseTrigger

__all__ = ["Cron", "parse_cron"]

NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
CHANGE = timedelta(hours=3)  # more than clocks are put forward or back
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True)
class Cron:
    """A cron expression in a time zone; :meth:`after` gives its times."""

    text: str
    timezone: tzinfo
    trigger: "BaseTrigger"

    def after(self, moment: datetime) -> datetime:
        """Return the first time after a moment, aware, in the expression's time zone.

        The search begins before the moment, as the trigger finds a time that the clocks skip only
        from before they change; and it goes on in UTC, where no time comes twice.
        """
        at = moment.astimezone(UTC)
        start = at - CHANGE
        while True:
            found: datetime = self.trigger.get_next_fire_time(None, start)
            if found.astimezone(UTC) > at:
                return found
            start = found.astimezone(UTC) + timedelta(microseconds=1)


def parse_cron(text: str, timezone: str = "") -> Cron:
    """Read a cron expression.

    Parameters
    ----------
    text : str
        Minute, hour, day of month, month, weekday as in crontab(5), or ``@daily`` and its like.
    timezone : str
        Name in the IANA database; empty for the machine's.

    Raises
    ------
    DataError
        It is no cron expression, its time never comes, or there is no such time zone.

    Examples
    --------
    >>> cron = parse_cron("0 3 * * 0", "Europe/Berlin")
    >>> str(cron.after(datetime(2026, 11, 25, tzinfo=UTC)))
    '2026-11-29 03:00:00+01:00'
    """
    zone = _zone(timezone)
    try:
        trigger = _trigger(NICKNAMES.get(text.strip(), text).split(), zone)
    except ValueError as error:
        raise DataError(
            f"cannot read cron expression '{text}': {error}; expected minute, hour, day of month, "
            "month and weekday, such as '0 3 * * *' for three o'clock every night"
        ) from error
    if trigger.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise DataError(f"the time of cron expression '{text}' never comes; no month has that day")
    return Cron(text, zone, trigger)


def _zone(name: str) -> tzinfo:
    if not name:
        from tzlocal import get_localzone

        return get_localzone()
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError) as error:
        raise DataError(
            f"no time zone '{name}'; expected a name such as UTC or Europe/Berlin"
        ) from error


def _trigger(fields: list[str], zone: tzinfo) -> "BaseTrigger":
    from apscheduler.triggers.combining import OrTrigger
    from apscheduler.triggers.cron import CronTrigger

    if len(fields) != 5:
        raise ValueError(f"it has {len(fields)} fields, not 5")
    names = ("minute", "hour", "day", "month", "day_of_week")
    given = dict(zip(names, [*fields[:4], _weekdays(fields[4])], strict=True))
    if fields[2].startswith("*") or fields[4].startswith("*"):
        return CronTrigger(**given, timezone=zone)
    either = ({**given, "day": "*"}, {**given, "day_of_week": "*"})
    return OrTrigger([CronTrigger(**fit, timezone=zone) for fit in either])


def _weekdays(field: str) -> str:
    """Return crontab's weekdays by name: ``1-5`` is ``mon,tue,wed,thu,fri``."""
    days: set[int] = set()
    for part in field.lower().split(","):
        span, _, step = part.partition("/")
        first, _, last = ("0", "-", "6") if span == "*" else span.partition("-")
        start = _weekday(first)
        end = _weekday(last) if last else 6 if step else start
        end = 7 if end == 0 and last and start > 0 else end  # fri-sun, 5-0
        if start > end or (step and not int(step)):
            raise ValueError(f"'{part}' is no range of weekdays")
        days |= {day % 7 for day in range(start, end + 1, int(step or 1))}
    return ",".join(WEEKDAYS[day] for day in sorted(days))


def _weekday(name: str) -> int:
    if name in WEEKDAYS:
        return WEEKDAYS.index(name)
    if not (name.isdigit() and int(name) <= 7):
        raise ValueError(f"'{name}' is no weekday (0-7 or sun-sat)")
    return int(name)
