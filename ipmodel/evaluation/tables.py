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


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as text. Columns of words are aligned to the left, those of numbers to the right."""

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    words: int  # the first so many columns are words

    def __post_init__(self) -> None:
        if any(len(row) != len(self.heads) for row in self.rows):
            raise ValueError(f"each row needs {len(self.heads)} cells")

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
        r"""A tabular; it needs \usepackage{booktabs}."""
        columns = "l" * self.words + "r" * (len(self.heads) - self.words)
        lines = [" & ".join(map(in_latex, line)) + r" \\" for line in (self.heads, *self.rows)]
        body = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]
        return "\n".join(["% needs \\usepackage{booktabs}", *body, r"\end{tabular}", ""])

    def in_csv(self) -> str:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([self.heads, *self.rows])
        return text.getvalue()


def in_latex(text: str) -> str:
    """One line of text that LaTeX prints unchanged; a minus before digits becomes one."""
    escaped = re.sub("[" + re.escape("".join(LATEX)) + "]", lambda found: LATEX[found[0]], printable(text))
    return re.sub(r"^-(?=\d)", "$-$", escaped)
