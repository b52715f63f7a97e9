"""Plots how a run trained: one panel for each phase, over the same epochs."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from numpy.typing import NDArray

from ipmodel.evaluation.figures import COLOURS, GREY, PAGE_INCHES, readable, save, styled
from ipmodel.runs.log import LINE, lines_of

F64 = NDArray[np.float64]
FEATURE = "feature"  # key of the log: the weighted L1 distance to the teacher's features
LOSS, VALIDATION_LOSS, VALIDATION_TOP1 = "classification", "validation_loss", "validation_top1"  # keys of the log
COLUMNS, PANEL_INCHES = 3, 1.55  # panels beside each other; their height
FALLS = 0.9  # a rate that falls to less than this from one step to the next falls at a step of its schedule


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The log of one phase. Epochs are counted from 0, with fractions."""

    name: str
    epochs: F64  # (steps,)
    losses: F64  # (steps,) cross-entropy of each training batch
    falls: list[float]  # the epochs at which the rate falls
    validation: dict[str, tuple[F64, F64]]  # by key of the log: epochs and values; {} without validation
    features: F64 | None = None  # (steps,) distances to the teacher's features; None without distillation
    published: float | None = None  # the epoch whose network was published, if it is known

    @property
    def smooth(self) -> F64:
        """(steps,) the losses, each the mean over half an epoch to either side of it."""
        return self._smoothed(self.losses)

    @property
    def smooth_features(self) -> F64 | None:
        """(steps,) the distances to the teacher's features, smoothed as the losses are."""
        return None if self.features is None else self._smoothed(self.features)

    def _smoothed(self, values: F64) -> F64:
        reach = 0.5 * max(1.0, self.epochs[-1] / 40)  # long trainings are smoothed more
        first = np.searchsorted(self.epochs, self.epochs - reach, side="left")
        last = np.searchsorted(self.epochs, self.epochs + reach, side="right")
        sums = np.concatenate([[0.0], np.cumsum(values)])
        return np.asarray((sums[last] - sums[first]) / (last - first), np.float64)


def plot_curves(
    split_dir: Path, phases: Iterable[str], out: Path, *, published: Mapping[str, float] | None = None
) -> None:
    """A panel for each phase that has a log, in the order of the recipe.

    published: the epochs whose networks were published, by phase; they are marked.
    out: ends in .png; SVG and PDF are written beside it. Raises: OSError.
    """
    found = [curve_of(name, split_dir / name / LINE, published=(published or {}).get(name)) for name in phases]
    curves = [curve for curve in found if curve is not None]
    with styled():
        columns = max(1, min(COLUMNS, len(curves)))
        rows = max(1, -(-len(curves) // columns))
        size = (PAGE_INCHES * max(columns, 1.6) / COLUMNS, PANEL_INCHES * rows + 0.7)
        figure, grid = plt.subplots(
            rows, columns, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
        )
        panels = grid.ravel()
        for axes, curve in zip(panels, curves, strict=False):
            _draw(axes, curve)
        for number, axes in enumerate(panels):
            if number >= len(curves):
                axes.axis("off")
            elif number + columns >= len(curves):  # nothing stands below
                axes.tick_params(labelbottom=True)
        if curves:
            _set_plain_numbers(panels[0])
            panels[0].set_xlim(0, max(curve.epochs[-1] for curve in curves))
            figure.supylabel(_losses(curves), fontsize=8)
            figure.supxlabel("epoch", fontsize=8)
            figure.legend(handles=_legend(curves), loc="outside upper left", ncols=1 + columns)
        save(figure, out)


def curve_of(name: str, log: Path, *, published: float | None = None) -> Curve | None:
    """What the log of a phase says; None if there is none."""
    lines = lines_of(log) if log.is_file() else []
    steps = [line for line in lines if LOSS in line]
    if not steps:
        return None
    rates = [line.get("rate", 0.0) for line in steps]
    return Curve(
        name=name,
        epochs=_values(steps, "epoch"),
        losses=_values(steps, LOSS),
        falls=[steps[n]["epoch"] for n in range(len(steps) - 1) if rates[n + 1] < FALLS * rates[n]],
        validation={
            key: (_values(own, "epoch"), _values(own, key))
            for key in (VALIDATION_LOSS, VALIDATION_TOP1)
            if (own := [line for line in lines if key in line and "epoch" in line])
        },
        features=_values(steps, FEATURE) if all(FEATURE in line for line in steps) else None,
        published=published,
    )


def _losses(curves: Sequence[Curve]) -> str:
    return "loss" if any(curve.features is not None for curve in curves) else "cross-entropy"


def _values(lines: Sequence[dict[str, Any]], key: str) -> F64:
    return np.array([line[key] for line in lines], np.float64)


BATCH: dict[str, Any] = {"color": COLOURS[0], "alpha": 0.25, "linewidth": 0.5}
SMOOTH: dict[str, Any] = {"color": COLOURS[0], "linewidth": 1.2}
TEACHER: dict[str, Any] = {"color": COLOURS[3], "linewidth": 1.0}
PUBLISHED: dict[str, Any] = {"color": "black", "linewidth": 0.9, "clip_on": False}
FALL: dict[str, Any] = {"color": GREY, "linewidth": 0.6, "linestyle": (0, (2, 2))}
HELD_OUT: dict[str, Any] = {"color": COLOURS[5], "linewidth": 1.0, "linestyle": "--"}
HELD_OUT_TOP1: dict[str, Any] = {"color": COLOURS[2], "linewidth": 1.0, "linestyle": "-."}


def _draw(axes: Axes, curve: Curve) -> None:
    axes.plot(curve.epochs, curve.losses, **BATCH)
    axes.plot(curve.epochs, curve.smooth, **SMOOTH)
    if curve.smooth_features is not None:
        axes.plot(curve.epochs, curve.smooth_features, **TEACHER)
    if curve.published is not None:
        axes.axvline(curve.published, **PUBLISHED)
    for epoch in curve.falls:
        axes.axvline(epoch, **FALL)
    if VALIDATION_LOSS in curve.validation:
        axes.plot(*curve.validation[VALIDATION_LOSS], **HELD_OUT)
    if VALIDATION_TOP1 in curve.validation:
        epochs, shares = curve.validation[VALIDATION_TOP1]
        beside = axes.twinx()
        beside.plot(epochs, 100 * shares, **HELD_OUT_TOP1)
        beside.set_ylim(0, 100)
        beside.spines["right"].set_visible(True)
        beside.tick_params(colors=HELD_OUT_TOP1["color"], length=2)
    axes.set_yscale("log")
    axes.set_title(readable(curve.name), loc="left")
    axes.tick_params(length=2)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))


def _set_plain_numbers(axes: Axes) -> None:
    """Ticks such as 0.5, not as powers of ten: 1, 2 and 5 of each decade, or even steps within less than a decade."""
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)) if high > 10 * low else MaxNLocator(nbins=5))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _legend(curves: Sequence[Curve]) -> list[Line2D]:
    shown = [("training batch", {**BATCH, "alpha": 0.5}), ("mean of the epochs around", SMOOTH)]
    if any(curve.features is not None for curve in curves):
        shown.append(("distance to the teacher's features", TEACHER))
    if any(curve.published is not None for curve in curves):
        shown.append(("published", PUBLISHED))
    if any(curve.falls for curve in curves):
        shown.append(("rate falls", FALL))
    if any(VALIDATION_LOSS in curve.validation for curve in curves):
        shown.append(("validation", HELD_OUT))
    if any(VALIDATION_TOP1 in curve.validation for curve in curves):
        shown.append(("validation top-1, %, right", HELD_OUT_TOP1))
    return [Line2D([], [], label=label, **style) for label, style in shown]
