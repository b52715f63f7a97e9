"""The report as one HTML file that needs no network, and as Markdown."""

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from ipmodel.evaluation.tables import Table
from shards.text import in_markdown, printable

TEMPLATE = "report.html"  # beside this module
TITLE_MARK = "<!--TITLE-->"


@dataclass(frozen=True, kw_only=True)
class ReportPart:
    """A table or a figure with its title."""

    title: str
    note: str = ""
    table: Table | None = None
    svg: bytes = b""


def html_begins(title: str) -> bytes:
    """How each page begins whose title begins like this."""
    return (_template().partition(TITLE_MARK)[0] + _shown(title)).encode()


def _template() -> str:
    return (resources.files("ipmodel.reporting") / TEMPLATE).read_text("utf-8")


def as_html(title: str, parts: Sequence[ReportPart]) -> str:
    """The page; figures are inside it."""
    return _template().replace(TITLE_MARK, _shown(title)).replace("<!--PARTS-->", "\n".join(map(_part, parts)))


def as_markdown(title: str, parts: Sequence[ReportPart]) -> str:
    """The tables, and where the figures are."""
    blocks = [f"# {in_markdown(title)}\n"]
    for part in parts:
        blocks.append(f"## {in_markdown(part.title)}\n")
        if part.note:
            blocks.append(f"{in_markdown(part.note)}\n")
        if part.table is not None:
            blocks.append(part.table.in_markdown())
        if part.svg:
            blocks.append("The figure is in the HTML of this report.\n")
    return "\n".join(blocks)


def _part(part: ReportPart) -> str:
    note = f"<p>{_shown(part.note)}</p>" if part.note else ""
    table = "" if part.table is None else f'<div class="wide">{_table(part.table)}</div>'
    data = base64.b64encode(part.svg).decode()
    figure = f'<img src="data:image/svg+xml;base64,{data}" alt="{_shown(part.title)}">' if part.svg else ""
    return f"<section><h2>{_shown(part.title)}</h2>{note}{table}{figure}</section>"


def _table(table: Table) -> str:
    heads = "".join(f"<th{_kind(head)}>{_shown(head)}</th>" for head in table.heads)
    cells = [
        [f"<td{_kind(head)}>{_shown(cell)}</td>" for head, cell in zip(table.heads, row, strict=True)]
        for row in table.rows
    ]
    rows = "".join(f"<tr>{''.join(row)}</tr>" for row in cells)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"


def _kind(head: str) -> str:
    """Ours are set off from the paper's."""
    return ' class="ours"' if "ours" in head else ""


def _shown(text: str) -> str:
    return html.escape(printable(text))
