"""Times of a cron expression, in a time zone: cronsim's calendar, and one rule for the clocks.

cronsim finds the next time of an expression on a calendar without time zones. What happens where
clocks change is said here, once. A job that names hours (``30 2 * * *``, ``0 */6 * * *``) has set
times: one that the clocks skip is at the moment when they go forward, one that comes twice is at
the first of the two. A job of every hour (``*/15 * * * *``) goes by the clock as it shows: what is
skipped is left out, what comes twice is twice.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

from fstore.errors import DataError

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
FIELDS = ("minute", "hour", "day-of-month", "month", "day-of-week")
HOURS = frozenset(range(24))
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)
WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")


@dataclass(frozen=True)
class Cron:
    """A cron expression in a time zone; :meth:`after` gives its times.

    Attributes
    ----------
    text : str
        As it was given.
    timezone : tzinfo
    calendar : str
        The same as cronsim reads it.
    """

    text: str
    timezone: tzinfo
    calendar: str

    def after(self, moment: datetime) -> datetime:
        """Return the first time after a moment, aware, in the expression's time zone."""
        at = moment.astimezone(UTC)
        next_time = self._by_the_clock(at) if self._every_hour() else self._set_time(at)
        return next_time.astimezone(self.timezone)

    def _every_hour(self) -> bool:
        from cronsim import CronSim

        return CronSim(self.calendar, datetime(2000, 1, 1)).hours >= HOURS  # noqa: DTZ001 - any

    def _set_time(self, at: datetime) -> datetime:
        """Return the first set time after a moment of UTC, in UTC."""
        wall = at.astimezone(self.timezone).replace(tzinfo=None)
        return next(t for t in map(self._instant, _walk(self.calendar, wall)) if t > at)

    def _instant(self, wall: datetime) -> datetime:
        """Return when clocks show a time first; when they go forward if they skip it. In UTC."""
        first, second = (
            wall.replace(tzinfo=self.timezone, fold=fold).astimezone(UTC) for fold in (0, 1)
        )
        if second >= first:  # once, or twice
            return first
        change = self._change(second, first)
        return first if change is None else change

    def _by_the_clock(self, at: datetime) -> datetime:
        """Return the first moment after another at which clocks show a time. In UTC.

        From one change of clocks to the next, wall time is UTC and a constant.
        """
        while True:
            offset = at.astimezone(self.timezone).utcoffset() or timedelta()
            wall = next(_walk(self.calendar, at.replace(tzinfo=None) + offset))
            moment = (wall - offset).replace(tzinfo=UTC)
            change = self._change(at, moment)
            if change is None:
                return moment
            if self._shown(change):
                return change
            at = change

    def _shown(self, moment: datetime) -> bool:
        """Tell whether clocks show a time of the expression at a moment."""
        wall = moment.astimezone(self.timezone).replace(tzinfo=None)
        return next(_walk(self.calendar, wall - SECOND)) == wall

    def _change(self, start: datetime, end: datetime) -> datetime | None:
        """Return when clocks change first in ``start < t <= end`` (UTC); None if they do not."""
        low = start
        while low < end:  # a day holds one change at most
            high = min(low + DAY, end)
            if self._offset(high) != self._offset(low):
                return self._bisect(low, high)
            low = high
        return None

    def _bisect(self, low: datetime, high: datetime) -> datetime:
        """Return the first second whose offset is not that of ``low``."""
        before = self._offset(low)
        low, high = low.replace(microsecond=0), high.replace(microsecond=0)
        while high - low > SECOND:
            middle = (low + (high - low) / 2).replace(microsecond=0)
            low, high = (middle, high) if self._offset(middle) == before else (low, middle)
        return high

    def _offset(self, moment: datetime) -> timedelta | None:
        return moment.astimezone(self.timezone).utcoffset()


def _walk(calendar: str, wall: datetime) -> Iterator[datetime]:
    """Yield the times of an expression after one on the wall, as if clocks never changed."""
    from cronsim import CronSim

    return iter(CronSim(calendar, wall))


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
        calendar = _calendar(NICKNAMES.get(text.strip(), text).split())
    except ValueError as error:
        raise DataError(
            f"cannot read cron expression '{text}': {error}; expected minute, hour, day of month, "
            "month and weekday, such as '0 3 * * *' for three o'clock every night"
        ) from error
    if not _comes(calendar):
        raise DataError(f"the time of cron expression '{text}' never comes; no month has that day")
    return Cron(text, zone, calendar)


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


def _calendar(fields: list[str]) -> str:
    """Check each field by itself, and return the expression with weekdays as cronsim reads them.

    cronsim knows no ``fri-sun``, and takes ``1/2`` for Monday, Wednesday, Friday and Sunday.
    """
    from cronsim import CronSimError
    from cronsim.cronsim import Field

    if len(fields) != 5:
        raise ValueError(f"it has {len(fields)} fields, not 5")
    star = fields[4].startswith("*")  # then day of month and weekday are both wanted
    days = _weekdays(fields[4])
    fields = [*fields[:4], fields[4] if star else days]
    for field, name, value in zip(list(Field)[1:], FIELDS, fields, strict=True):
        try:
            field.parse(value.upper())
        except CronSimError as error:
            raise ValueError(f"'{value}' is no {name}") from error
    return " ".join(fields)


def _comes(calendar: str) -> bool:
    """Tell whether an expression has a time: February has no 31st."""
    from cronsim import CronSimError

    try:
        return next(_walk(calendar, datetime(2000, 1, 1)), None) is not None  # noqa: DTZ001 - any
    except CronSimError:
        return False


def _weekdays(field: str) -> str:
    """Return crontab's weekdays by number: ``mon-wed`` is ``1,2,3``."""
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
    return ",".join(str(day) for day in sorted(days))


def _weekday(name: str) -> int:
    if name in WEEKDAYS:
        return WEEKDAYS.index(name)
    if not (name.isdigit() and int(name) <= 7):
        raise ValueError(f"'{name}' is no weekday (0-7 or sun-sat)")
    return int(name)
