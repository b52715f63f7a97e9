"""Predictions as text: blocks and lines for people, JSON lines and CSV for programs."""

import csv
import io
import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from ipmodel.prediction.answers import TOP, Guess, Prediction, Unpredicted
from ipmodel.prediction.reached import Reached

NAME_COLUMNS, MAX_NAME_COLUMNS = 24, 60  # of a class on the terminal: the least width, and the greatest
SHORT_S = 0.1  # spans shorter than this are told in thousandths


def clock(seconds: float, *, decimals: int = 1) -> str:
    """A time in a video: "1:04.5", or "1:00:04.5" from an hour on."""
    a_second = 10**decimals
    minutes, rest = divmod(round(seconds * a_second), 60 * a_second)
    hours, minutes = divmod(minutes, 60)
    begin = f"{hours}:{minutes:02}" if hours else f"{minutes}"
    return f"{begin}:{rest // a_second:02}.{rest % a_second:0{decimals}}"


def span_clock(start_s: float, stop_s: float) -> str:
    """A span of a video: "0:05.0 to 0:10.0"; of a video of one frame "0:00.000 to 0:00.033"."""
    decimals = 3 if stop_s - start_s < SHORT_S else 1
    return f"{clock(start_s, decimals=decimals)} to {clock(stop_s, decimals=decimals)}"


def columns_of(text: str) -> int:
    """How many columns a text takes on a terminal: characters of East Asia take two, combining ones none."""
    return sum((1 + (unicodedata.east_asian_width(c) in "WF")) * (not unicodedata.combining(c)) for c in text)


def in_columns(text: str, width: int) -> str:
    """A text in so many columns: filled with spaces, or cut and marked with two dots."""
    if columns_of(text) > width:
        while columns_of(text) > width - 2:
            text = text[:-1]
        text += ".."
    return text + " " * (width - columns_of(text))


def _name_columns(names: Iterable[str]) -> int:
    """As wide as the widest name, within bounds."""
    return max(NAME_COLUMNS, min(MAX_NAME_COLUMNS, max(map(columns_of, names))))


def reached_line(reached: Reached, total: int, elapsed_s: float) -> str:
    """How far the reading of so many videos is; while a video is read, up to which time of it."""
    done = reached.job + reached.share
    if reached.share < 1:
        place = f"video {reached.job + 1} of {total}" if total > 1 else "video"
        return f"{place}: {clock(reached.stop_s)} of {clock(reached.end_s)} read"
    return f"{done:.0f} of {total} videos, {done / elapsed_s:.1f} videos/s"


def block_of(found: Prediction, *, explain: bool = False) -> str:
    """A video's best classes, a column for the answer and one for each stream."""
    opinions = {found.by: found.opinions[found.by], **found.opinions}
    names = [name if name != found.by else f"{name} (answer)" for name in opinions]
    tops = [opinion.top() for opinion in opinions.values()]
    lines = [f"{found.video}: {found.class_name}, {100 * found.probability:.1f} %"]
    if found.true_class:
        lines[0] += f" (is {found.true_class})"
    widths = [_name_columns(guess.class_name for guess in top) for top in tops]
    heads = [in_columns(name, width + 8) for name, width in zip(names, widths, strict=True)]
    lines.append("  " + "  ".join(heads).rstrip())
    for place in range(len(tops[0])):
        cells = [_cell(top[place], width) for top, width in zip(tops, widths, strict=True)]
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join([*lines, *(explained(found) if explain else [])])


def _cell(guess: Guess, width: int) -> str:
    return f"{in_columns(guess.class_name, width)} {100 * guess.probability:5.1f} %"


def line_of(found: Prediction, *, explain: bool = False) -> str:
    """A span of a video on one line: when, the answer, and what each stream says."""
    own = [f"{name}: {_short(opinion.top(1)[0])}" for name, opinion in found.opinions.items() if name != found.by]
    when = f"{clock(found.start_s):>8} to {clock(found.stop_s):>8}"
    width = _name_columns(found.opinions[found.by].classes)  # equal for all lines
    line = f"  {when}  {_cell(found.top[0], width)}   {'   '.join(own)}".rstrip()
    return "\n".join([line, *(explained(found) if explain else [])])


def _short(guess: Guess) -> str:
    return f"{guess.class_name} {100 * guess.probability:.1f} %"


def explained(found: Prediction) -> list[str]:
    """The frames that each stream looked at."""
    return [
        f"    {stream} looked at frames {', '.join(map(str, numbers))} ({', '.join(names)})"
        for stream, columns in found.looked_at.items()
        for numbers, names in _by_numbers(columns)
    ]


def _by_numbers(columns: dict[str, list[int]]) -> list[tuple[tuple[int, ...], list[str]]]:
    """Frame numbers, and the columns in which they were looked at."""
    together: dict[tuple[int, ...], list[str]] = {}
    for name, numbers in columns.items():
        together.setdefault(tuple(numbers), []).append(name)
    return list(together.items())


def json_line(found: Prediction | Unpredicted, *, explain: bool = False) -> str:
    """One line of JSON."""
    value = found.to_value(explain=explain) if isinstance(found, Prediction) else found.to_value()
    return json.dumps(value, ensure_ascii=True)


def csv_header(streams: Sequence[str]) -> str:
    """The first line of the CSV: five classes with their probabilities, then the best one of each stream and fusion."""
    ranked = [f"{word}_{place}" for place in range(1, TOP + 1) for word in ("class", "probability")]
    own = [f"{name}_{word}" for name in streams for word in ("class", "probability")]
    return _csv(["video", "start_s", "stop_s", "by", *ranked, *own])


def csv_line(found: Prediction, streams: Sequence[str]) -> str:
    """One line of the CSV. Cells stay empty where there are fewer classes, or a stream cannot see the video."""
    ranked: list[Any] = [cell for guess in found.top for cell in (guess.class_name, f"{guess.probability:.6f}")]
    ranked += [""] * (2 * TOP - len(ranked))
    own: list[Any] = []
    for name in streams:
        best = found.opinions[name].top(1)[0] if name in found.opinions else None
        own += [best.class_name, f"{best.probability:.6f}"] if best else ["", ""]
    return _csv([found.video, f"{found.start_s:.3f}", f"{found.stop_s:.3f}", found.by, *ranked, *own])


def _csv(cells: Sequence[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(cells)
    return text.getvalue()
