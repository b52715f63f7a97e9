"""The timeline of a video on the page of predictions, and the colours of the classes that are shown."""

import html
from collections import defaultdict
from collections.abc import Mapping, Sequence

from ipmodel.evaluation.palette import OKABE_ITO
from ipmodel.prediction.entries import Answer
from ipmodel.prediction.shown import clock, span_clock

Colours = Mapping[str, str]
LEGEND = 12  # classes below a timeline, the longest first
PALETTE = OKABE_ITO[:-1]  # without black
GREY = "#999999"  # of all further classes


def colours_of(answers: Sequence[Answer]) -> Colours:
    """Class -> colour: those that are answers for longest have colours that are far apart; further ones are grey."""
    ranked = dict.fromkeys(
        [*_lengths_s(answers), *(guess.class_name for one in answers for guess in one.tops[one.by][1:])]
    )
    colours = dict(zip(ranked, PALETTE, strict=False))
    return defaultdict(lambda: GREY, colours)


def timeline_of(answers: Sequence[Answer], colours: Colours) -> str:
    """A line along the video's time: a bar for each span, as high as its class is probable; and a legend.

    The highest bar fills the line, so that probabilities of a few percent are seen too.
    """
    end_s = answers[-1].stop_s
    highest = max(answer.tops[answer.by][0].probability for answer in answers)
    parts = "".join(_part(answer, end_s, highest, colours) for answer in answers)
    ticks = f'<div class="ticks"><span>0:00.0</span><span>{clock(end_s / 2)}</span><span>{clock(end_s)}</span></div>'
    scale = f'<span class="scale">the highest bar is a probability of {100 * highest:.1f} %</span>'
    lengths_s = _lengths_s(answers)
    legend = "".join(
        f'<span><i style="background:{colours[name]}"></i>{html.escape(name)} {clock(length_s)}</span>'
        for name, length_s in list(lengths_s.items())[:LEGEND]
    )
    left = len(lengths_s) - LEGEND
    more = f"<span>and {left} more class{'es' if left > 1 else ''}</span>" if left > 0 else ""
    return f'<div class="timeline">{parts}</div>{ticks}<div class="legend">{legend}{more}{scale}</div>'


def _part(answer: Answer, end_s: float, highest: float, colours: Colours) -> str:
    best, length_s = answer.tops[answer.by][0], answer.stop_s - answer.start_s
    when = span_clock(answer.start_s, answer.stop_s)
    title = html.escape(f"{when}: {best.class_name}, {100 * best.probability:.1f} %")
    place = f"left:{100 * answer.start_s / end_s:.3f}%;width:{100 * length_s / end_s:.3f}%"
    fill = f"background:{colours[best.class_name]};height:{100 * best.probability / highest:.1f}%"
    return f'<div class="part" style="{place}" title="{title}"><i style="{fill}"></i></div>'


def _lengths_s(answers: Sequence[Answer]) -> dict[str, float]:
    """How long each class is the answer, the longest first."""
    lengths_s: dict[str, float] = {}
    for answer in answers:
        name = answer.tops[answer.by][0].class_name
        lengths_s[name] = lengths_s.get(name, 0.0) + answer.stop_s - answer.start_s
    return dict(sorted(lengths_s.items(), key=lambda item: -item[1]))
