"""Arrow without pandas, for commands that are over before pandas would be imported.

pyarrow imports pandas where it is installed, as soon as it makes an array of Python's values, to
tell a Series from a list: 0.12 to 0.4 CPU seconds. It asks once a process, and once more where
pandas is asked for (``to_pandas``); so a first answer "not installed" takes nothing away later.
DuckDB 2.0.1 imports no pandas by itself.
"""

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType

__all__ = ["without_pandas"]


class _Absent:
    """A finder of modules to which pandas is not installed."""

    def find_spec(
        self,
        name: str,
        path: Sequence[str] | None = None,  # noqa: ARG002 - Python's protocol
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError("No module named 'pandas'", name=name)
        return None


def without_pandas() -> None:
    """Have pyarrow take Python's values for what they are, without a look for pandas.

    For programs only, and before any code of the user's runs: afterwards pyarrow would not tell a
    DataFrame that it is given, until something asked it for one. Where pandas is imported already,
    nothing is done.
    """
    if "pandas" in sys.modules:
        return
    absent = _Absent()
    sys.meta_path.insert(0, absent)
    try:
        import pyarrow as pa

        pa.array([0])  # here it asks
    finally:
        sys.meta_path.remove(absent)
