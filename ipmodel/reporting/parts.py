"""Puts the report together: the paper's tables and figures, then what distillation does."""

from collections.abc import Sequence
from pathlib import Path

from ipmodel.evaluation.outputs import Output
from ipmodel.evaluation.tables import Table
from ipmodel.evaluation.tested import TestedRun
from ipmodel.reporting.document import ReportPart, html_begins
from ipmodel.reporting.entries import dataset_of, datasets_of, entries_of
from ipmodel.reporting.gains import Gain, check, closeness_table, gains_of
from ipmodel.reporting.paper_tables import all_tables
from ipmodel.reporting.plots import MAX_BARS, as_svg, figure4, figure5, plot_gain
from ipmodel.reporting.table1 import Bench, speeds_of

OVER_SEEDS = "Runs with several seeds, and splits that overlap, count a video several times, so the true p is larger."
TITLE = "Beside the paper"  # titles begin so


def outputs_of(out: Path, markdown: Path | None) -> dict[str, Output]:
    """The files of a report, by their options."""
    page = Output(path=out, begins=html_begins(TITLE), what="a page of `ipmodel report`")
    if markdown is None:
        return {"--out": page}
    tables = Output(path=markdown, begins=f"# {TITLE}".encode(), what="Markdown of `ipmodel report`")
    return {"--out": page, "--markdown": tables}


def title_of(runs: Sequence[TestedRun]) -> str:
    datasets = ", ".join(dict.fromkeys(datasets_of(runs)))
    return f"{TITLE}: {len(runs)} run{'s' if len(runs) != 1 else ''} on {datasets}"


def parts_of(runs: Sequence[TestedRun], benches: Sequence[Bench]) -> list[ReportPart]:
    """All parts, in the order of the report. Raises: ModelError if runs have nothing to report."""
    entries = entries_of(runs)
    check(entries)
    parts = [ReportPart(title=one.title, note=one.note, table=one.table) for one in all_tables(entries, benches)]
    speeds = speeds_of(entries, benches)
    hollow = "Hollow: the paper's. Filled: ours, with 95 % intervals"
    timed = "." if speeds else "; none, because no bench was given."
    parts.append(
        ReportPart(title="Figure 4: accuracy against speed", note=hollow + timed, svg=as_svg(figure4(entries, speeds)))
    )
    note = f"{hollow}. IP TSN by depth of I, segments*crops. The paper's multiply-adds are those of its networks here."
    parts.append(ReportPart(title="Figure 5: accuracy against multiply-adds", note=note, svg=as_svg(figure5(entries))))
    by_class = "Gains of distillation by class"
    gains = gains_of(entries)
    for gain in gains:
        parts.append(ReportPart(title=f"{by_class}: {_where(gain)}", note=_words(gain), svg=plot_gain(gain)))
    if not gains:
        parts.append(ReportPart(title=by_class, note="not run: no run has P with and without its teacher"))
    table = closeness_table(entries)
    if table.rows:
        note = "The distance is the mean L1 between the average-pooled features of P and of its teacher."
        parts.append(ReportPart(title="How near P comes to its teacher", note=note, table=table))
    parts.append(ReportPart(title="The runs", note=_sets(runs), table=_runs_table(runs)))
    return parts


def _where(gain: Gain) -> str:
    return f"{gain.dataset}, {gain.variant}, {gain.names[1]} against {gain.names[0]}"


def _words(gain: Gain) -> str:
    whole = gain.whole
    only = f"of {whole.videos} tests, only P with its teacher has {whole.only_second} right"
    other = f"only P without {whole.only_first}"
    told = f"{100 * whole.difference:+.2f} points; {only}, {other}; McNemar's p {gain.p_value}. {OVER_SEEDS}"
    few = len(gain.per_class) <= MAX_BARS
    return told if few else f"{told} Drawn are the {MAX_BARS // 2} classes that gain most, and as many that lose most."


def _sets(runs: Sequence[TestedRun]) -> str:
    """Which sets the numbered names of datasets stand for; "" if there are none."""
    names = datasets_of(runs)
    if names == [dataset_of(run) for run in runs]:
        return ""
    manifests = {name: run.record["manifest_sha256"][:16] for name, run in zip(names, runs, strict=True)}
    return f"Sets by manifest sha256: {'; '.join(f'{name}: {sha256}' for name, sha256 in manifests.items())}."


def _runs_table(runs: Sequence[TestedRun]) -> Table:
    rows = [
        [run.name, dataset, str(run.seed), ", ".join(run.tables), run.record["manifest_sha256"][:16]]
        for dataset, run in zip(datasets_of(runs), runs, strict=True)
    ]
    return Table(heads=["run", "dataset", "seed", "splits", "manifest sha256"], rows=rows, words=5)
