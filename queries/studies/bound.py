"""A data set and its split, and the part of a study that they play."""

from typing import Annotated

from msgspec import Meta

from fstore.toml_file import Table, Text, WholeNumbers
from fstore.types import Part

__all__ = ["Bound"]


class Bound(Table, frozen=True):
    """A data set and its split that play a part.

    ``seeds`` are those of the split; ``parts`` those of its parts that are used, empty for all.
    """

    dataset: Text
    split: Text = "official"
    seeds: WholeNumbers = (0,)
    parts: Annotated[tuple[Part, ...], Meta(min_length=1)] = ()

    def __str__(self) -> str:
        seeds = f" (seeds {', '.join(map(str, self.seeds))})" if self.split != "official" else ""
        parts = f", {' and '.join(self.parts)} only" if self.parts else ""
        return f"{self.dataset}, {self.split} split{seeds}{parts}"

    def uses(self, part: str) -> bool:
        """Tell whether a part of the split is used, if there is one."""
        return not self.parts or part in self.parts

    def seed(self, run: int) -> int:
        """Return the seed of a run: the only one is that of all runs."""
        return self.seeds[run if len(self.seeds) > 1 else 0]
