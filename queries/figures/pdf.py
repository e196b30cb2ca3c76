"""PDFs that are the same each time: the order of their objects is that in which they are named.

vl-convert's own order comes by chance: a page's resources and the fonts stand in another one each
time. What is in the objects stays as it is.
"""

import re

__all__ = ["in_order"]

RUN = re.compile(rb"(?<=<<\n)(?: +/\w+ \d+ 0 R\n){2,}(?= +>>)")
"""Entries of a dictionary, a line each, that name other objects."""

REFERENCE = re.compile(rb"\b(\d+) 0 R\b")
BEGIN = re.compile(rb"\A\d+ 0 obj\n")


def in_order(pdf: bytes) -> bytes:
    """Return a PDF with its objects in the order in which they are named, from its root.

    Parameters
    ----------
    pdf : bytes
        With a table of its objects' places, as svg2pdf writes it. Another is returned as it is.
    """
    read = _objects(pdf)
    if read is None:
        return pdf
    objects, trailer = read
    order: list[int] = []
    waiting = [_named(trailer)]
    while waiting:
        names = waiting[-1]
        if not names:
            waiting.pop()
        elif (number := names.pop(0)) not in order:
            order.append(number)
            waiting.append(_named(_head(objects[number])))
    return _written(pdf, objects, trailer, order=order)


def _objects(pdf: bytes) -> tuple[dict[int, bytes], bytes] | None:
    """Return the objects by number, each without its first line, and the trailer."""
    at = pdf.rfind(b"startxref\n")
    table = int(pdf[at:].split()[1]) if at >= 0 else -1
    lines = pdf[table:at].split(b"trailer\n")
    if table < 0 or len(lines) != 2 or not lines[0].startswith(b"xref"):
        return None
    places = [line.split() for line in lines[0].splitlines()[2:]]
    begins = {i: int(line[0]) for i, line in enumerate(places) if line[-1] == b"n"}
    ends = [*sorted(begins.values()), table]
    objects = {}
    for number, begin in begins.items():
        whole = pdf[begin : ends[ends.index(begin) + 1]]
        if not BEGIN.match(whole):
            return None
        head = _head(body := BEGIN.sub(b"", whole))
        objects[number] = RUN.sub(_sorted, head) + body[len(head) :]
    return objects, lines[1]


def _sorted(run: "re.Match[bytes]") -> bytes:
    return b"".join(sorted(run[0].splitlines(keepends=True)))


def _head(body: bytes) -> bytes:
    """Return what stands before an object's stream: only there are other objects named."""
    return body.split(b"\nstream\n", 1)[0]


def _named(head: bytes) -> list[int]:
    return [int(number) for number in REFERENCE.findall(head)]


def _written(pdf: bytes, objects: dict[int, bytes], trailer: bytes, *, order: list[int]) -> bytes:
    """Return the file anew: the same objects under their new numbers, and where each begins."""
    new = {old: i for i, old in enumerate(order, start=1)}

    def renumbered(text: bytes) -> bytes:
        return REFERENCE.sub(lambda m: b"%d 0 R" % new[int(m[1])], text)

    first = min(pdf.index(b"\n%d 0 obj\n" % number) for number in objects) + 1
    out, places = bytearray(pdf[:first]), []
    for number in order:
        head = _head(objects[number])
        places.append(len(out))
        out += b"%d 0 obj\n" % new[number] + renumbered(head) + objects[number][len(head) :]
    table = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(order) + 1)
    out += b"".join(b"%010d 00000 n \n" % place for place in places)
    sized = re.sub(rb"/Size \d+", b"/Size %d" % (len(order) + 1), renumbered(trailer))
    return bytes(out + b"trailer\n" + sized + b"startxref\n%d\n%%%%EOF" % table)
