"""The HTML of the page of predictions. `page.html` beside this module has its style and its script."""

import html
from collections.abc import Sequence
from importlib import resources

from ipmodel.prediction.answers import Guess
from ipmodel.prediction.entries import Answer, Entry
from ipmodel.prediction.shown import span_clock
from ipmodel.prediction.streams import Streams
from ipmodel.prediction.timeline import Colours, colours_of, timeline_of

TEMPLATE = "page.html"  # beside this module


def page_of(entries: Sequence[Entry], model: Streams) -> str:
    """The page's HTML: it needs no network, and refers to nothing but its pictures."""
    names = [*model.fusions, *model.streams]
    heads = ["video", *names, *(["is"] if any(e.answers and e.answers[0].true_class for e in entries) else [])]
    parts = {
        "TITLE": f"{len(entries)} video{'s' if len(entries) != 1 else ''}",
        "MODEL": html.escape(f"{model.location}, {len(model.classes)} classes"),
        "HEADS": "".join(f'<th><button type="button">{html.escape(head)}</button></th>' for head in heads),
        "ROWS": "\n".join(_rows(entry, names, with_truth="is" in heads) for entry in entries),
        "FAILED": _failed([entry for entry in entries if entry.failed]),
    }
    template = (resources.files("ipmodel.prediction") / TEMPLATE).read_text("utf-8")
    for name, part in parts.items():
        template = template.replace(f"<!--{name}-->", part)
    return template


def _rows(entry: Entry, names: Sequence[str], *, with_truth: bool) -> str:
    """The table's body of one video: a line with its best classes, or a timeline and a line for each span."""
    if not entry.answers:
        return ""
    picture = f'<img loading="lazy" src="{html.escape(entry.sheet)}" alt="">' if entry.sheet else ""
    columns = len(names) + 1 + with_truth
    colours = colours_of(entry.answers)
    timeline = timeline_of(entry.answers, colours) if len(entry.answers) > 1 else ""
    head = f'<tr class="sheet"><td colspan="{columns}"><h2>{html.escape(entry.name)}</h2>{timeline}{picture}</td></tr>'
    lines = [_line(entry, answer, names, colours, with_truth=with_truth) for answer in entry.answers]
    return "<tbody>" + head + "".join(lines) + "</tbody>"


def _line(entry: Entry, answer: Answer, names: Sequence[str], colours: Colours, *, with_truth: bool) -> str:
    when = span_clock(answer.start_s, answer.stop_s)
    cells = [_cell(when, f"{entry.name} {answer.start_s:014.3f}", "time")]
    for name in names:
        top = answer.tops.get(name)
        text = "cannot see it" if top is None else _guesses(top, colours, best_alone=len(entry.answers) > 1)
        key = "" if top is None else f"{top[0].class_name} {1 - top[0].probability:.6f}"
        cells.append(_cell(text, key, "answer" if name == answer.by else "opinion"))
    if with_truth:
        right = answer.true_class == answer.tops[answer.by][0].class_name
        mark = "&#10003;" if right else "&#10007;"
        cells.append(_cell(f"{html.escape(answer.true_class)} {mark}", answer.true_class, "truth"))
    line = f'<tr class="line">{"".join(cells)}</tr>'
    if not answer.explained:
        return line
    pictures = "".join(f'<img loading="lazy" src="{html.escape(file)}" alt="">' for file in answer.pictures.values())
    words = "<br>".join(html.escape(text.strip()) for text in answer.explained)
    return f'{line}<tr class="why"><td colspan="{len(cells)}"><p>{words}</p>{pictures}</td></tr>'


def _cell(text: str, key: str, kind: str) -> str:
    return f'<td class="{kind}" data-key="{html.escape(key)}">{text}</td>'


def _guesses(top: Sequence[Guess], colours: Colours, *, best_alone: bool) -> str:
    """The best classes; of a span the best one alone, and the others where the mouse points at it."""
    if not best_alone:
        return "".join(_guess(guess, colours) for guess in top)
    title = "\n".join(f"{guess.class_name} {100 * guess.probability:.1f} %" for guess in top)
    return f'<div title="{html.escape(title)}">{_guess(top[0], colours)}</div>'


def _guess(guess: Guess, colours: Colours) -> str:
    """A class with a bar as long as its probability."""
    colour, percent = colours[guess.class_name], 100 * guess.probability
    bar = f'<span class="bar" style="width:{percent:.1f}%;background:{colour}"></span>'
    return f'<div class="guess"><span>{html.escape(guess.class_name)}</span><b>{percent:.1f} %</b>{bar}</div>'


def _failed(entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    items = "".join(f"<li><b>{html.escape(e.name)}</b>: {html.escape(e.failed)}</li>" for e in entries)
    return f"<h2>Not predicted: {len(entries)}</h2><ul>{items}</ul>"
