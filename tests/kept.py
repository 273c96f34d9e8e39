"""The lists that check-ko compares a module with."""

import re


def entries(path):
    """The lines of a kept list, split into words; # starts a comment."""
    lines = (line.split("#")[0].split() for line in path.read_text().splitlines())
    return [line for line in lines if line]


def symbols(path, release):
    """{symbol: [header, declaration if it is not the symbol]}, of those for a release of FreeBSD"""
    kept = {}
    for symbol, *rest in entries(path):
        some = re.match(r"(\d+)([+-])$", rest[0])
        if some and (release < int(some[1]) if some[2] == "+" else release > int(some[1])):
            continue
        kept[symbol] = rest[1:] if some else rest
    return kept


def check(kpi, used, directories):
    """The kept list itself: the header of each symbol declares it, and a module uses it."""
    for symbol, (header, *by) in kpi.items():
        declaration = by[0] if by else symbol
        if directories:
            texts = [d / header for d in directories if (d / header).exists()]
            if not texts:
                yield f"{symbol}: there is no {header}"
            elif not any(re.search(rf"(?<!\w){re.escape(declaration)}(?!\w)", t.read_text(errors="replace")) for t in texts):
                yield f"{symbol}: {header} does not have {declaration}"
        if symbol not in used:
            yield f"{symbol}: no module uses it"
