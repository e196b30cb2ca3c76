"""A property that is worked out once an object, and holds no lock meanwhile."""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["once"]

T = TypeVar("T")


class once(Generic[T]):  # noqa: N801 - a decorator
    """As ``functools.cached_property``, whose lock in Python 3.11 is one for all objects.

    Requests that wait for what :class:`~fstore.explore.contents.Contents` keeps would wait for
    that lock too, and for each other.

    Parameters
    ----------
    make : callable
        Method that gives the value. Two threads that share an object may both call it.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self.make = make
        self.__doc__ = make.__doc__

    def __get__(self, instance: Any, _owner: type | None = None) -> T:  # noqa: ANN401 - of any class
        """Return the value; of the class, where there is no object, this."""
        if instance is None:
            return self  # type: ignore[return-value]
        value = instance.__dict__[self.make.__name__] = self.make(instance)
        return value
