"""Fonts for the names in plots: installed ones take over for characters that matplotlib's own font lacks."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from matplotlib.backends.backend_agg import RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, findSystemFonts, fontManager, get_font
from matplotlib.text import Text

LOG = logging.getLogger(__name__)
OWN = "DejaVu Sans"  # comes with matplotlib
MEASURED_DPI = 288  # texts are measured at this resolution

_chosen: list[str] = []  # files of the fonts that took over so far: further characters try them first
_named: set[str] = set()  # characters that a warning has named


def families_of(text: str) -> list[str]:
    """The families that draw a text: matplotlib's own, then those that have what it lacks."""
    found = [file for c in sorted(set(text)) if not _has(_own_file(), c) and (file := _file_with(c))]
    return [OWN, *dict.fromkeys(_family(file) for file in found)]


def use_fallbacks(figure: Figure) -> None:
    """Give each text of a figure the fonts that it needs. Warns, once for each, of characters that no font has."""
    missing: set[str] = set()
    for one in figure.findobj(Text):
        assert isinstance(one, Text)
        text = one.get_text()
        if not text.isascii():
            one.set_fontfamily(families_of(text))
            missing |= {c for c in text if not _has(_own_file(), c) and not _file_with(c)}
    if new := missing - _named:
        _named.update(new)
        LOG.warning("plots have boxes for %s: no installed font has these characters", " ".join(sorted(new)))


def width_inches(text: str, points: float, *, bold: bool = False) -> float:
    """How wide a text of one line is drawn."""
    font = FontProperties(family=families_of(text), size=points, weight="bold" if bold else "normal")
    with without_glyph_warnings():
        width, _, _ = _renderer().get_text_width_height_descent(text, font, ismath=False)
    return float(width / MEASURED_DPI)


def shortened(text: str, inches: float, points: float, *, bold: bool = False) -> str:
    """The text, or as much of its beginning as fits with an ellipsis."""
    if width_inches(text, points, bold=bold) <= inches:
        return text
    low, high = 0, len(text)  # so many characters fit; so many do not
    while high - low > 1:
        middle = (low + high) // 2
        fits = width_inches(f"{text[:middle]}…", points, bold=bold) <= inches
        low, high = (middle, high) if fits else (low, middle)
    return f"{text[:low]}…"


@contextmanager
def without_glyph_warnings() -> Iterator[None]:
    """Leaves out matplotlib's warnings of missing glyphs: `use_fallbacks` says them in one line."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


@cache
def _renderer() -> RendererAgg:
    return RendererAgg(1, 1, MEASURED_DPI)


@cache
def _own_file() -> str:
    return str(findfont(OWN))


@cache
def _characters(file: str) -> frozenset[int]:
    """The characters that an upright font of normal weight can draw at any size; none of other fonts."""
    try:
        font = get_font(file)
        return frozenset(font.get_charmap()) if font.scalable and not font.style_flags else frozenset()
    except (RuntimeError, OSError):  # no font, or one that FreeType cannot open
        return frozenset()


def _has(file: str, character: str) -> bool:
    return ord(character) in _characters(file)


@cache
def _file_with(character: str) -> str | None:
    """The file of an installed font that has this character."""
    installed = sorted(findSystemFonts(), key=lambda file: ("mono" in file.lower(), file))
    for file in [*_chosen, *installed]:
        if _has(file, character):
            if file not in _chosen:
                _chosen.append(file)
            return file
    return None


@cache
def _family(file: str) -> str:
    """The name by which matplotlib finds this font, also if it was installed after matplotlib listed all fonts."""
    if file not in {font.fname for font in fontManager.ttflist}:
        fontManager.addfont(file)
    return str(FontProperties(fname=file).get_name())
