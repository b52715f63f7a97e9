"""The HTML of the page of predictions. `page.html` beside this module has its style and its script."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources

from ipmodel.prediction.answers import Guess
from ipmodel.prediction.shown import clock
from ipmodel.prediction.streams import Streams

TEMPLATE = "page.html"  # beside this module
GOLDEN_DEGREES = 137.508  # between the hues of two classes, so that neighbours in the list differ
LEGEND = 12  # classes below a timeline, the longest first


@dataclass(frozen=True)
class Answer:
    """What is kept of a prediction for the page."""

    start_s: float
    stop_s: float
    by: str
    tops: dict[str, list[Guess]]  # by stream or fusion
    true_class: str
    explained: list[str]
    pictures: dict[str, str]  # stream -> the file of the sheet of what it looked at


@dataclass
class Entry:
    """One video on the page."""

    name: str
    answers: list[Answer] = field(default_factory=list)
    sheet: str = ""  # its file
    failed: str = ""


def page_of(entries: Sequence[Entry], model: Streams) -> str:
    """The page's HTML: it needs no network, and refers to nothing but its pictures."""
    names = [*model.fusions, *model.streams]
    heads = ["video", *names, *(["is"] if any(e.answers and e.answers[0].true_class for e in entries) else [])]
    parts = {
        "TITLE": f"{len(entries)} video{'s' if len(entries) != 1 else ''}",
        "MODEL": html.escape(f"{model.location}, {len(model.classes)} classes"),
        "HEADS": "".join(f'<th><button type="button">{html.escape(head)}</button></th>' for head in heads),
        "ROWS": "\n".join(_rows(entry, names, model.classes, with_truth="is" in heads) for entry in entries),
        "FAILED": _failed([entry for entry in entries if entry.failed]),
    }
    template = (resources.files("ipmodel.prediction") / TEMPLATE).read_text("utf-8")
    for name, part in parts.items():
        template = template.replace(f"<!--{name}-->", part)
    return template


def _rows(entry: Entry, names: Sequence[str], classes: Sequence[str], *, with_truth: bool) -> str:
    """The table's body of one video: a line with its best classes, or a timeline and a line for each span."""
    if not entry.answers:
        return ""
    picture = f'<img loading="lazy" src="{html.escape(entry.sheet)}" alt="">' if entry.sheet else ""
    columns = len(names) + 1 + with_truth
    timeline = _timeline(entry.answers, classes) if len(entry.answers) > 1 else ""
    head = f'<tr class="sheet"><td colspan="{columns}"><h2>{html.escape(entry.name)}</h2>{timeline}{picture}</td></tr>'
    lines = [_line(entry, answer, names, classes, with_truth=with_truth) for answer in entry.answers]
    return "<tbody>" + head + "".join(lines) + "</tbody>"


def _line(entry: Entry, answer: Answer, names: Sequence[str], classes: Sequence[str], *, with_truth: bool) -> str:
    when = f"{clock(answer.start_s)} to {clock(answer.stop_s)}"
    cells = [_cell(when, f"{entry.name} {answer.start_s:014.3f}", "time")]
    for name in names:
        top = answer.tops.get(name)
        text = "cannot see it" if top is None else _guesses(top, classes, best_alone=len(entry.answers) > 1)
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


def _guesses(top: Sequence[Guess], classes: Sequence[str], *, best_alone: bool) -> str:
    """The best classes; of a span the best one alone, and the others where the mouse points at it."""
    if not best_alone:
        return "".join(_guess(guess, classes) for guess in top)
    title = "\n".join(f"{guess.class_name} {100 * guess.probability:.1f} %" for guess in top)
    return f'<div title="{html.escape(title)}">{_guess(top[0], classes)}</div>'


def _guess(guess: Guess, classes: Sequence[str]) -> str:
    """A class with a bar as long as its probability."""
    colour, percent = colour_of(classes.index(guess.class_name)), 100 * guess.probability
    bar = f'<span class="bar" style="width:{percent:.1f}%;background:{colour}"></span>'
    return f'<div class="guess"><span>{html.escape(guess.class_name)}</span><b>{percent:.1f} %</b>{bar}</div>'


def _timeline(answers: Sequence[Answer], classes: Sequence[str]) -> str:
    """A line along the video's time: a bar for each span, as high as its class is probable; and a legend."""
    end_s = answers[-1].stop_s
    parts: list[str] = []
    lengths_s: dict[str, float] = {}
    for answer in answers:
        best, length_s = answer.tops[answer.by][0], answer.stop_s - answer.start_s
        lengths_s[best.class_name] = lengths_s.get(best.class_name, 0.0) + length_s
        when = f"{clock(answer.start_s)} to {clock(answer.stop_s)}"
        title = html.escape(f"{when}: {best.class_name}, {100 * best.probability:.1f} %")
        place = f"left:{100 * answer.start_s / end_s:.3f}%;width:{100 * length_s / end_s:.3f}%"
        fill = f"background:{colour_of(classes.index(best.class_name))};height:{100 * best.probability:.0f}%"
        parts.append(f'<div class="part" style="{place}" title="{title}"><i style="{fill}"></i></div>')
    ticks = f'<div class="ticks"><span>0:00.0</span><span>{clock(end_s / 2)}</span><span>{clock(end_s)}</span></div>'
    legend = "".join(
        f'<span><i style="background:{colour_of(classes.index(name))}"></i>{html.escape(name)} {clock(length_s)}</span>'
        for name, length_s in sorted(lengths_s.items(), key=lambda item: -item[1])[:LEGEND]
    )
    more = f"<span>and {len(lengths_s) - LEGEND} more classes</span>" if len(lengths_s) > LEGEND else ""
    return f'<div class="timeline">{"".join(parts)}</div>{ticks}<div class="legend">{legend}{more}</div>'


def colour_of(class_id: int) -> str:
    """A colour for a class; hues of neighbours in the list are far apart."""
    return f"hsl({class_id * GOLDEN_DEGREES % 360:.0f} 55% {(55, 68, 44)[class_id % 3]}%)"


def _failed(entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    items = "".join(f"<li><b>{html.escape(e.name)}</b>: {html.escape(e.failed)}</li>" for e in entries)
    return f"<h2>Not predicted: {len(entries)}</h2><ul>{items}</ul>"
