"""The HTML page of `ipmodel predict`: a contact sheet a video, each stream's opinion, a timeline; sortable."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from ipmodel.errors import ModelError
from ipmodel.prediction.answers import Guess, Prediction, Unpredicted
from ipmodel.prediction.pictures import SHOWN, first_sheet, sheet_of, sheets_of, write_picture
from ipmodel.prediction.pipeline import Found
from ipmodel.prediction.shown import clock, explained
from ipmodel.prediction.streams import Streams
from shards.arrays import U8
from shards.atomic import write_published
from shards.schema import Sample

PAGE, PICTURES = "index.html", "pictures"
TEMPLATE = "page.html"  # beside this module
GOLDEN_DEGREES = 137.508  # between the hues of two classes, so that neighbours in the list differ
NAMED_SHARE = 0.05  # of a timeline: narrower segments are not named


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
    kept: dict[int, bytes] = field(default_factory=dict)  # frame number -> I-frame, of some windows
    sample: Sample | None = None


class Page:
    """Collects predictions, and writes pictures as they come; `close` writes the page."""

    def __init__(self, directory: Path, model: Streams, *, explain: bool) -> None:
        """Raises: ModelError if the directory holds something else; OSError."""
        if directory.is_dir() and any(directory.iterdir()) and not (directory / PAGE).is_file():
            raise ModelError(f"{directory}: is not empty and has no {PAGE}; name a new directory for the page")
        self._directory, self._model, self._explain = directory, model, explain
        self._entries: dict[int, Entry] = {}
        (directory / PICTURES).mkdir(parents=True, exist_ok=True)

    def add(self, found: Found) -> None:
        """Take one prediction. Raises: OSError; ShardError if a frame does not decode."""
        answer = found.answer
        entry = self._entries.setdefault(found.job, Entry(answer.video))
        if isinstance(answer, Unpredicted):
            entry.failed = answer.reason
            return
        assert found.sample is not None
        pictures = {}
        if self._explain:
            sheets = sheets_of(answer, found.sample, found.encoded, self._model.columns, self._model.looks)
            for number, (stream, sheet) in enumerate(sheets.items()):
                pictures[stream] = self._write(f"{found.job:05d}-{found.number:05d}-{number}.jpg", sheet)
        entry.sample = found.sample
        entry.answers.append(
            Answer(
                start_s=answer.start_s,
                stop_s=answer.stop_s,
                by=answer.by,
                tops={name: opinion.top() for name, opinion in answer.opinions.items()},
                true_class=answer.true_class,
                explained=explained(answer) if self._explain else [],
                pictures=pictures,
            )
        )
        self._draw(entry, found, answer)

    def _draw(self, entry: Entry, found: Found, answer: Prediction) -> None:
        """Draw the video's sheet: of one prediction, or once there are all windows, an I-frame of some of these."""
        assert found.sample is not None
        name, columns = f"{found.job:05d}.jpg", self._model.columns
        if found.windows == 1 or "iframe" not in columns:
            if not entry.sheet:
                sheet = first_sheet(answer, found.sample, found.encoded, columns, self._model.looks)
                entry.sheet = "" if sheet is None else self._write(name, sheet)
            return
        every = max(1, found.windows // SHOWN)
        own = found.encoded.get("iframe", {})
        if own and found.number % every == 0 and len(entry.kept) < SHOWN:
            entry.kept |= [(number, own[number]) for number in sorted(own)][len(own) // 2 :][:1]
        if found.number == found.windows - 1 and entry.kept:
            frames = {"iframe": entry.kept}
            sheet = sheet_of(entry.name, found.sample, frames, columns, ["iframe"], sorted(entry.kept))
            entry.sheet = self._write(name, sheet)
            entry.kept = {}

    def _write(self, name: str, picture: U8) -> str:
        """Write a picture; return its address on the page."""
        write_picture(self._directory / PICTURES / name, picture)
        return f"{PICTURES}/{name}"

    def close(self) -> Path:
        """Write the page; return its path. Raises: OSError."""
        path = self._directory / PAGE
        text = page_of([self._entries[number] for number in sorted(self._entries)], self._model)
        write_published(path, text.encode("utf-8", "backslashreplace"), temporary_dir=self._directory)
        return path


def page_of(entries: Sequence[Entry], model: Streams) -> str:
    """The page's HTML: it needs no network, and refers to nothing but its pictures."""
    names = [*model.fusions, *model.streams]
    heads = ["video", "start", *names, *(["is"] if any(e.answers and e.answers[0].true_class for e in entries) else [])]
    parts = {
        "TITLE": f"{len(entries)} videos",
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
    """The table's body of one video: a line with its best classes, or a timeline and a line for each window."""
    if not entry.answers:
        return ""
    picture = f'<img loading="lazy" src="{html.escape(entry.sheet)}" alt="">' if entry.sheet else ""
    columns = len(names) + 2 + with_truth
    timeline = _timeline(entry.answers, classes) if len(entry.answers) > 1 else ""
    head = f'<tr class="sheet"><td colspan="{columns}"><h2>{html.escape(entry.name)}</h2>{timeline}{picture}</td></tr>'
    lines = [_line(entry, answer, names, classes, with_truth=with_truth) for answer in entry.answers]
    return "<tbody>" + head + "".join(lines) + "</tbody>"


def _line(entry: Entry, answer: Answer, names: Sequence[str], classes: Sequence[str], *, with_truth: bool) -> str:
    cells = [_cell(html.escape(entry.name), entry.name, "name")]
    cells.append(_cell(f"{clock(answer.start_s)} to {clock(answer.stop_s)}", f"{answer.start_s:014.3f}", "time"))
    for name in names:
        top = answer.tops.get(name)
        text = "cannot see it" if top is None else "".join(_guess(guess, classes) for guess in top)
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


def _guess(guess: Guess, classes: Sequence[str]) -> str:
    """A class with a bar as long as its probability."""
    colour, percent = colour_of(classes.index(guess.class_name)), 100 * guess.probability
    bar = f'<span class="bar" style="width:{percent:.1f}%;background:{colour}"></span>'
    return f'<div class="guess"><span>{html.escape(guess.class_name)}</span><b>{percent:.1f} %</b>{bar}</div>'


def _timeline(answers: Sequence[Answer], classes: Sequence[str]) -> str:
    """A bar along the video's time: a segment for each run of windows with the same class, named where it fits."""
    end_s = answers[-1].stop_s
    parts = []
    for answer in answers:
        best = answer.tops[answer.by][0]
        share = (answer.stop_s - answer.start_s) / end_s
        when = f"{clock(answer.start_s)} to {clock(answer.stop_s)}"
        title = html.escape(f"{when}: {best.class_name}, {100 * best.probability:.1f} %")
        style = f"left:{100 * answer.start_s / end_s:.3f}%;width:{100 * share:.3f}%"
        fill = f"background:{colour_of(classes.index(best.class_name))};height:{20 + 80 * best.probability:.0f}%"
        name = html.escape(best.class_name) if share >= NAMED_SHARE else ""
        parts.append(
            f'<div class="part" style="{style}" title="{title}"><i style="{fill}"></i><span>{name}</span></div>'
        )
    ticks = f'<div class="ticks"><span>0:00.0</span><span>{clock(end_s / 2)}</span><span>{clock(end_s)}</span></div>'
    return f'<div class="timeline">{"".join(parts)}</div>{ticks}'


def colour_of(class_id: int) -> str:
    """A colour for a class; hues of neighbours in the list are far apart."""
    return f"hsl({class_id * GOLDEN_DEGREES % 360:.0f} 55% {(55, 68, 44)[class_id % 3]}%)"


def _failed(entries: Sequence[Entry]) -> str:
    if not entries:
        return ""
    items = "".join(f"<li><b>{html.escape(e.name)}</b>: {html.escape(e.failed)}</li>" for e in entries)
    return f"<h2>Not predicted: {len(entries)}</h2><ul>{items}</ul>"
