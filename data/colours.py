"""Colours of parts, by name, LDraw code or ``#rrggbb``."""

import difflib
import re

from legoclf.data.ldraw import hex_rgb
from legoclf.data.part_library import OPAQUE, EmbeddedParts, PartSource
from legoclf.errors import UsageError


def choose_colours(source: PartSource, wanted: str | None = None) -> tuple[tuple[int, int, int], ...]:
    """sRGB levels 0 to 255 of a comma list as ``"Red,#20a0c0,15"``; None is the common solid colours.

    Raises UsageError for a colour that ``source`` does not have, with the nearest names, or that is
    transparent.
    """
    if wanted is None:
        return tuple(colour.rgb for colour in EmbeddedParts().colours().values())
    words = [word.strip() for word in wanted.split(",") if word.strip()]
    if not words:
        raise UsageError("--colours names no colour; give names or #rrggbb, as in --colours 'Red,#20a0c0'")
    return tuple(_find(source, word) for word in words)


def _find(source: PartSource, word: str) -> tuple[int, int, int]:
    if re.fullmatch(r"#[0-9A-Fa-f]{6}", word):
        return hex_rgb(word[1:])
    colours = source.colours()
    by_name = {_plain(colour.name): colour for colour in colours.values()}
    found = colours.get(int(word)) if word.isdecimal() else by_name.get(_plain(word))
    if found is None:
        near = difflib.get_close_matches(_plain(word), list(by_name), n=4, cutoff=0.4)
        names = [by_name[key].name for key in near] or [colour.name for colour in list(colours.values())[:6]]
        raise UsageError(f"there is no colour '{word}'; the nearest: {', '.join(names)}; or give #rrggbb")
    if found.alpha != OPAQUE:
        raise UsageError(
            f"the colour {found.name} is transparent, which the renderer does not do; give a solid one"
        )
    return found.rgb


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().replace("gray", "grey"))
