"""The glossary: what each word means, and where pages lead to it."""

import re
from html import unescape

import pytest

from fstore.queries.publish.glossary import linked, meaning, terms

LINK = re.compile(r'<a class="term" href="glossary\.html#([^"]*)"[^>]*>([^<]*)</a>')


def test_first_use_alone_is_linked() -> None:
    """A word is a link where a page first has it, in whatever spelling, and nowhere after that."""
    html = "<main><p>Priors, <b>a prior</b>.</p><ul><li>MCAuE</li></ul><p>prior, MCAuE</p></main>"
    done = linked(html)
    assert LINK.findall(done) == [("term-prior", "Priors"), ("term-mcaue", "MCAuE")]
    assert LINK.sub(r"\2", done) == html


@pytest.mark.parametrize(
    "html",
    [
        "<main><h1>prior</h1></main>",
        "<p>prior</p>",  # outside of the page's own text
        "<main><table><tr><td>prior</td></tr></table></main>",
        '<main><p><a href="x">prior</a> <code>prior</code></p></main>',
        '<main><p class="note">prior: an error that is quoted</p></main>',
        "<main><details><summary>More</summary><p>prior</p></details></main>",  # folded away
        "<main><p>apriori, prior-art</p></main>",
    ],
)
def test_no_link_elsewhere(html: str) -> None:
    """Headings, links, code, cells, quoted errors and parts of other words are left alone."""
    assert linked(html) == html


def test_text_after_an_element_that_is_left_alone() -> None:
    """What follows a link or a void element in a paragraph is read again."""
    done = linked('<main><p><a href="x">prior</a><br><img src="y"> a prior</p></main>')
    assert LINK.findall(done) == [("term-prior", "prior")]


def test_longer_words_first() -> None:
    """``complete AP`` is one word, and not AP."""
    assert LINK.findall(linked("<main><p>complete AP</p></main>"))[0][0] == "term-complete-ap"


def test_abbreviations_have_their_own_letters() -> None:
    """A map is no mAP, and an ap no AP; other words begin a sentence too."""
    assert linked("<main><p>a map, the ap</p></main>") == "<main><p>a map, the ap</p></main>"
    assert LINK.findall(linked("<main><p>Filters, mAP</p></main>")) == [
        ("term-filter", "Filters"),
        ("term-mean-ap", "mAP"),
    ]


def test_meanings_lead_to_other_terms() -> None:
    """A meaning has links to the words that it uses, and none to itself."""
    of = {term.word: term for term in terms()}
    assert ("term-aue", "AuE") in LINK.findall(meaning(of["MCAuE"]))
    assert all(f'#{term.id}"' not in meaning(term) for term in terms())


def test_meaning_is_escaped() -> None:
    """A link's tooltip has the meaning, and is one attribute."""
    done = linked("<main><p>sp-max</p></main>")
    (title,) = re.findall(r'title="([^"]*)"', done)
    assert unescape(title) == next(t.means for t in terms() if t.word == "sp-max")


def test_terms_are_distinct() -> None:
    """No two terms share a spelling or a place on the page."""
    spelled = [form.lower() for term in terms() for form in (term.word, *term.forms)]
    assert len(spelled) == len(set(spelled))
    assert len({term.id for term in terms()}) == len(terms())
    assert all(term.means.endswith(".") for term in terms())
