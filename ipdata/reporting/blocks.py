"""The blocks of the report, as HTML: tables, lists, bars. Every text from outside goes through `shown`."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from shards.sheet.page import shown

CUT_CHARACTERS = 300  # of a name or a reason


@dataclass(frozen=True, kw_only=True)
class Block:
    """A section of the report."""

    title: str
    note: str = ""  # below the title
    body: str = ""  # HTML


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A bar with a name and a number beside it."""

    name: str
    said: str  # the number as text
    share: float  # of the full length, 0 to 1
    lacks: bool = False  # drawn in another colour and with a mark


def section(part: Block) -> str:
    note = f"<p>{shown(part.note)}</p>" if part.note else ""
    return f"<section><h2>{shown(part.title)}</h2>{note}{part.body}</section>"


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """Names and values, a line each."""
    return f"<dl>{''.join(f'<dt>{shown(name)}</dt><dd>{shown(value)}</dd>' for name, value in pairs)}</dl>"


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table. Cells of all columns but the first are numbers or short."""
    head = "".join(f"<th>{shown(text)}</th>" for text in heads)
    body = "".join(
        f'<tr class="row">{"".join(f"<td>{shown(cut(text))}</td>" for text in cells)}</tr>' for cells in rows
    )
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def measures(bars: Iterable[Measure]) -> str:
    """Bars in as many columns as the page has room for."""
    return f'<div class="measures">{"".join(map(_measure, bars))}</div>'


def _measure(bar: Measure) -> str:
    width = 100 * min(1.0, max(0.0, bar.share))
    kind, mark = ("measure lacks row", "! ") if bar.lacks else ("measure row", "")
    said = f"<span>{mark}{shown(cut(bar.name))}</span><b>{shown(bar.said)}</b>"
    return f'<div class="{kind}">{said}<i><u style="width:{width:.1f}%"></u></i></div>'


def listed(lines: Sequence[str], *, more: int = 0) -> str:
    """Lines in a list, and how many are not in it."""
    items = "".join(f'<li class="row">{shown(cut(line))}</li>' for line in lines)
    return f"<ul>{items}{and_more(more)}</ul>"


def and_more(count: int, what: str = "") -> str:
    return f"<li>and {count} more{f' {shown(what)}' if what else ''}</li>" if count > 0 else ""


def cut(text: str) -> str:
    return text if len(text) <= CUT_CHARACTERS else text[: CUT_CHARACTERS - 4] + " ..."


def first_of(items: Sequence, limit: int, block: Callable[[Sequence], str], what: str) -> str:
    """A block of the first items, and how many there are beside them."""
    rest = len(items) - limit
    return block(items[:limit]) + (f"<p>and {rest} more {shown(what)}</p>" if rest > 0 else "")
