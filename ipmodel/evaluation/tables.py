"""A table in words for the terminal, as CSV, LaTeX and Markdown."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

from shards.text import in_markdown, printable

LATEX = {
    **{mark: f"\\{mark}" for mark in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "\\": r"\textbackslash{}",
    "<": "$<$",
    ">": "$>$",
}

NO_FIGURE = "-"
LATEX_BEGIN = r"% needs \usepackage{booktabs}"
GAP_PT = 3  # half of what lies between two columns
HEAD_CHARACTERS = 10  # in a line of a head
PAGE_CHARACTERS = 60  # in small print, of the 345 pt of an article's text


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text. Columns of words are aligned to the left, those of numbers to the right."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int  # the first so many columns are words

    def __post_init__(self) -> None:
        if any(len(row) != len(self.heads) for row in self.rows):
            raise ValueError(f"each row needs {len(self.heads)} cells")

    def without_empty_columns(self) -> "Table":
        """The table without the columns of numbers that hold only "-"."""
        kept = [n for n in range(len(self.heads)) if n < self.words or any(row[n] != NO_FIGURE for row in self.rows)]
        rows = [[row[n] for n in kept] for row in self.rows]
        return Table(heads=[self.heads[n] for n in kept], rows=rows, words=self.words)

    def in_text(self) -> str:
        """Columns below each other, for a terminal."""
        lines = [[printable(cell) for cell in line] for line in (self.heads, *self.rows)]
        widths = [max(len(line[n]) for line in lines) for n in range(len(self.heads))]
        aligned = [
            [f"{cell:<{width}}" if n < self.words else f"{cell:>{width}}" for n, (cell, width) in enumerate(pairs)]
            for pairs in ([*zip(line, widths, strict=True)] for line in lines)
        ]
        return "\n".join("  ".join(line).rstrip() for line in aligned)

    def in_markdown(self) -> str:
        rule = ["---" if n < self.words else "---:" for n in range(len(self.heads))]
        lines = [[*map(in_markdown, self.heads)], rule, *([*map(in_markdown, row)] for row in self.rows)]
        return "".join(f"| {' | '.join(line)} |\n" for line in lines)

    def in_latex(self) -> str:
        r"""A tabular in small print, with heads of several lines and narrow gaps; it needs \usepackage{booktabs}.

        A table of words that is wider than the page's text gets columns of equal width, whose cells break into lines.
        """
        rows = [
            [in_latex(cell) if n < self.words else _figure(cell) for n, cell in enumerate(row)] for row in self.rows
        ]
        columns, heads, end = "l" * self.words + "r" * (len(self.heads) - self.words), self._latex_heads(), r" \\"
        if self.words == len(self.heads) and self._characters() > PAGE_CHARACTERS:
            share = 0.94 / len(self.heads)
            columns = rf"p{{{share:.3f}\linewidth}}" * len(self.heads)
            heads, *rows = [[rf"\raggedright {_breakable(cell)}" for cell in row] for row in (self.heads, *self.rows)]
            end = r" \tabularnewline"
        first, *lines = [" & ".join(line) + end for line in (heads, *rows)]
        body = [rf"\begin{{tabular}}{{@{{}}{columns}@{{}}}}", r"\toprule", first, r"\midrule", *lines, r"\bottomrule"]
        begin = [LATEX_BEGIN, rf"\noindent{{\small\setlength{{\tabcolsep}}{{{GAP_PT}pt}}%"]
        return "\n".join([*begin, *body, r"\end{tabular}}", ""])

    def _latex_heads(self) -> list[str]:
        return [_stacked(head, "l" if n < self.words else "r") for n, head in enumerate(self.heads)]

    def _characters(self) -> int:
        """The width of a line, without the gaps."""
        return sum(max(len(line[n]) for line in (self.heads, *self.rows)) for n in range(len(self.heads)))

    def in_csv(self) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.heads, *self.rows])
        return text.getvalue()


def in_latex(text: str) -> str:
    """One line of text that LaTeX prints unchanged; a minus before digits becomes one."""
    escaped = re.sub("[" + re.escape("".join(LATEX)) + "]", lambda found: LATEX[found[0]], printable(text))
    return re.sub(r"^-(?=\d)", "$-$", escaped)


def _figure(cell: str) -> str:
    """A number, or a range with a dash."""
    return re.sub(r"(?<=\d) to (?=\S)", "--", in_latex(cell))


def _stacked(head: str, side: str) -> str:
    """A head in two lines, which are as equally long as can be; in a line for each word where these are too long."""
    words = head.split(" ")
    if len(words) == 1:
        return in_latex(head)
    cuts = [[" ".join(words[:n]), " ".join(words[n:])] for n in range(1, len(words))]
    lines = min(cuts, key=lambda cut: max(map(len, cut)))
    if max(map(len, lines)) > HEAD_CHARACTERS:
        lines = words
    stack = r"\\".join(map(in_latex, lines))
    return rf"\begin{{tabular}}[b]{{@{{}}{side}@{{}}}}{stack}\end{{tabular}}"


def _breakable(cell: str) -> str:
    """Text that may break after the marks inside of names, such as those of keys."""
    return re.sub(r"(\\_|[./:,])(?=[^\s\d])", r"\1\\allowbreak{}", in_latex(cell))
