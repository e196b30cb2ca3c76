"""A clock that was set back."""

from datetime import UTC, datetime
from types import ModuleType

import pytest


class _Past(datetime):
    @classmethod
    def now(cls, tz: object = None) -> datetime:  # type: ignore[override]
        del tz
        return datetime(2000, 1, 1, tzinfo=UTC)


def set_clock_back(monkeypatch: pytest.MonkeyPatch, *modules: ModuleType) -> None:
    """Make it the year 2000 for some modules, which import ``datetime`` by its name."""
    for module in modules:
        monkeypatch.setattr(module, "datetime", _Past)
