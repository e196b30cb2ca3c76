"""All campaigns: importing this fills the table."""

import _buckets  # noqa: F401 - registers
import _crowds  # noqa: F401 - registers
import _damage  # noqa: F401 - registers
import _hostile  # noqa: F401 - registers
import _kills  # noqa: F401 - registers
from _figures import CAMPAIGNS, NUMBERS, Figures, allow, write_csv

__all__ = ["CAMPAIGNS", "NUMBERS", "Figures", "allow", "write_csv"]
