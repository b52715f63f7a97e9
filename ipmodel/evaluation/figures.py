"""How all plots look, and how they are written: PNG, SVG and PDF, for screen and print."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from ipmodel.evaluation.fonts import shortened, use_fallbacks, without_glyph_warnings
from ipmodel.evaluation.palette import OKABE_ITO

SUFFIXES = (".png", ".svg", ".pdf")
DPI = 200  # of PNG files: 1400 px for the width of a page
PAGE_INCHES = 7.0  # the width of a page's text

COLOURS = OKABE_ITO
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")  # so that a grey print tells them apart too
GREY = "#666666"

STYLE: Any = {
    "font.size": 8.0,
    "axes.titlesize": 8.0,
    "axes.labelsize": 8.0,
    "xtick.labelsize": 7.0,
    "ytick.labelsize": 7.0,
    "legend.fontsize": 7.0,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "pdf.fonttype": 42,  # fonts as TrueType, which publishers ask for
    "svg.hashsalt": "ipmodel",  # equal plots have equal bytes
}


@contextmanager
def styled() -> Iterator[None]:
    """Draws with the style of all plots."""
    with matplotlib.rc_context(STYLE):
        yield


def save(figure: Figure, out: Path) -> None:
    """Write a figure as `out`, which ends in .png, and beside it as SVG and PDF; then close it. Raises: OSError."""
    for suffix in SUFFIXES:
        write(figure, out.with_suffix(suffix))
    plt.close(figure)


def write(figure: Figure, path: Path) -> None:
    """Write a figure in the format of the path's suffix, without a date. Raises: OSError."""
    without_date = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix)
    use_fallbacks(figure)
    with without_glyph_warnings():
        figure.savefig(path, dpi=DPI, metadata=without_date)


def readable(name: str) -> str:
    """A name as a label: `$` would begin a formula, and what does not print is escaped."""
    return _literal(printable(name))


def fitting(text: str, inches: float, points: float, *, bold: bool = False) -> str:
    """A text as a label that is at most so wide: of a longer one the beginning, with an ellipsis."""
    return _literal(shortened(printable(text), inches, points, bold=bold))


def printable(name: str) -> str:
    """A name with escapes for what does not print."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)


def _literal(text: str) -> str:
    return text.replace("$", r"\$")
