"""What benchmarks printed, for docs/performance.md."""

from pathlib import Path

__all__ = ["printed"]

RUNS = Path(__file__).parent / "performance"


def printed(name: str) -> str:
    """Return the kept output of a benchmark, as a block."""
    return f"```\n{(RUNS / f'{name}.txt').read_text(encoding='utf-8').rstrip()}\n```"
