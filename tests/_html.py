"""Tables of a page, read off its HTML."""

import html
import re

__all__ = ["plain", "rows_of"]


def rows_of(text: str, label: str) -> list[list[str]]:
    """Return the cells of the table whose region has a label, head first."""
    table = text.split(f'aria-label="{html.escape(label)}', 1)[1].split("</table>", 1)[0]
    lines = re.findall(r"<tr>(.*?)</tr>", table, re.DOTALL)
    return [
        [plain(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", line, re.DOTALL)]
        for line in lines
    ]


def plain(markup: str) -> str:
    """Return the text of some HTML."""
    return html.unescape(re.sub(r"<[^>]+>", "", markup)).strip()
