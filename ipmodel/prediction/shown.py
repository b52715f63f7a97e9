"""Predictions as text: blocks and lines for people, JSON lines and CSV for programs."""

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from ipmodel.prediction.answers import TOP, Guess, Prediction, Unpredicted
from ipmodel.prediction.reached import Reached

NAME_COLUMNS = 24  # of a class on the terminal


def clock(seconds: float) -> str:
    """A time in a video: "1:04.5", or "1:00:04.5" from an hour on."""
    minutes, rest = divmod(round(seconds * 10), 600)
    hours, minutes = divmod(minutes, 60)
    return (f"{hours}:{minutes:02}" if hours else f"{minutes}") + f":{rest // 10:02}.{rest % 10}"


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
    lines.append("  " + "  ".join(f"{name:{NAME_COLUMNS + 8}}" for name in names).rstrip())
    for place in range(len(tops[0])):
        lines.append("  " + "  ".join(_cell(top[place]) for top in tops).rstrip())
    return "\n".join([*lines, *(explained(found) if explain else [])])


def _cell(guess: Guess) -> str:
    name = guess.class_name
    short = name if len(name) <= NAME_COLUMNS else name[: NAME_COLUMNS - 2] + ".."
    return f"{short:{NAME_COLUMNS}} {100 * guess.probability:5.1f} %"


def line_of(found: Prediction, *, explain: bool = False) -> str:
    """A span of a video on one line: when, the answer, and what each stream says."""
    own = [f"{name}: {_short(opinion.top(1)[0])}" for name, opinion in found.opinions.items() if name != found.by]
    when = f"{clock(found.start_s):>8} to {clock(found.stop_s):>8}"
    line = f"  {when}  {_cell(found.top[0])}   {'   '.join(own)}".rstrip()
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
