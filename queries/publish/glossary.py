"""Words of the pages: what they mean, and links to that at their first use on a page."""

import re
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from fstore.toml_file import Table, Text, parse_toml, typed

if TYPE_CHECKING:
    from markupsafe import Markup

__all__ = ["FILE", "Term", "linked", "meaning", "terms"]

FILE = "glossary.html"
"""The page that has them all."""

VOID = frozenset({"area", "base", "br", "col", "hr", "img", "input", "link", "meta", "wbr"})
READ = frozenset({"p", "li", "dd", "figcaption", "caption"})
"""Elements of running text: only there are words linked."""
APART = frozenset(
    {"a", "abbr", "button", "code", "details", "dfn", "h1", "h2", "h3", "label", "nav", "pre",
     "script", "style", "summary", "svg", "th", "unread"}
)  # fmt: skip
"""Elements in which nothing is linked."""

UNREAD_CLASS = re.compile(r'class="(hidden|note)\b')
"""What is not seen, and what is quoted: messages of errors."""

TAG = re.compile(r"(<[^>]*>)")  # templates escape ">" in attributes


class Term(Table, frozen=True):
    """A word, the other spellings of it, and what it means."""

    word: Text
    means: Text
    forms: tuple[Text, ...] = ()

    @property
    def id(self) -> str:
        """The word's place on the glossary's page."""
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.word.lower())


class _Glossary(Table, frozen=True):
    terms: tuple[Term, ...]


@cache
def terms() -> tuple[Term, ...]:
    """Return the glossary's terms by the alphabet."""
    name = "glossary.toml"
    text = files("fstore.queries.publish").joinpath(name).read_text(encoding="utf-8")
    every = typed(parse_toml(text, name), _Glossary, name).terms
    return tuple(sorted(every, key=lambda term: term.word.lower()))


def linked(html: str) -> str:
    """Return a page's text in which the first use of each term leads to the glossary.

    Only running text is read: no heading, link, button, code or cell of a table.

    Parameters
    ----------
    html : str
        Of a template: elements are closed, and ``>`` is escaped in attributes.

    Examples
    --------
    >>> linked("<main><p>Of the priors.</p></main>")[:49]
    '<main><p>Of the <a class="term" href="glossary.ht'
    >>> linked("<main><h1>The prior</h1></main>")
    '<main><h1>The prior</h1></main>'
    """
    left = {term.id: term for term in terms()}
    return "".join(_with_links(text, left) if is_read else text for text, is_read in _parts(html))


def _parts(html: str) -> Iterator[tuple[str, bool]]:
    """Yield tags and texts, and whether it is a text to link words of."""
    stack: list[tuple[str, str]] = []
    for i, part in enumerate(TAG.split(html)):
        yield part, i % 2 == 0 and _is_read([name for name, _ in stack])
        if i % 2:
            _step(stack, part)


def _step(stack: list[tuple[str, str]], tag: str) -> None:
    """Enter or leave an element; of each its kind and the name that ends it."""
    name = tag.strip("</>").split()[0].lower()
    if tag.startswith("</"):
        while stack and stack.pop()[1] != name:
            pass
    elif name not in VOID and not tag.startswith("<!"):
        stack.append(("unread" if UNREAD_CLASS.search(tag) else name, name))


def _is_read(stack: Sequence[str]) -> bool:
    """Say whether a text within some elements is running text of the page itself."""
    return "main" in stack and not READ.isdisjoint(stack) and APART.isdisjoint(stack)


def meaning(term: Term) -> "Markup":
    """Return what a term means, with links to the other terms in it."""
    from markupsafe import Markup, escape

    others = {other.id: other for other in terms() if other != term}
    return Markup(_with_links(str(escape(term.means)), others))  # noqa: S704 - escaped above


@cache
def _words() -> tuple[re.Pattern[str], dict[str, Term]]:
    """Return what matches every spelling, the longest first, and the term of each.

    An abbreviation is one in its own letters alone: a map is no mAP.
    """
    spelled = {_key(form): term for term in terms() for form in (term.word, *term.forms)}
    either = "|".join(
        re.escape(form) if form != form.lower() else f"(?i:{re.escape(form)})"
        for form in sorted(spelled, key=len, reverse=True)
    )
    return re.compile(rf"(?<![\w-])(?:{either})(?![\w-])"), spelled


def _key(form: str) -> str:
    """Return a spelling as it is compared: an abbreviation as it is, other words in small letters.

    Examples
    --------
    >>> _key("mAP"), _key("MCAuE"), _key("Prior"), _key("complete AP"), _key("Map")
    ('mAP', 'MCAuE', 'prior', 'complete AP', 'map')
    """
    return form if re.search(r".[A-Z]", form) else form.lower()


def _with_links(text: str, left: dict[str, Term]) -> str:
    """Return escaped text in which words that are left are links; they are left no more."""
    from markupsafe import escape

    pattern, spelled = _words()

    def link(match: re.Match[str]) -> str:
        term = spelled[_key(match[0])]
        if left.pop(term.id, None) is None:
            return match[0]
        return (
            f'<a class="term" href="{FILE}#{term.id}" title="{escape(term.means)}">{match[0]}</a>'
        )

    return pattern.sub(link, text)
