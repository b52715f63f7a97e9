"""`ipmodel compare`: what sets runs apart, and what it makes of their accuracies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ipmodel.errors import ModelError

if TYPE_CHECKING:
    from ipmodel.evaluation.outputs import Output

FILE = click.Path(path_type=Path, dir_okay=False)
PLOTS = (".png", ".svg", ".pdf")


def _plot(_ctx: click.Context, _option: click.Parameter, value: Path | None) -> Path | None:
    if value is not None and value.suffix.lower() not in PLOTS:
        raise click.BadParameter(f"must end in {', '.join(PLOTS)}, got {value}")
    return value


@click.command()
@click.argument("directories", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--csv", "csv_file", type=FILE, help="write the accuracy of each run, split and stream there")
@click.option("--latex", "latex_file", type=FILE, help="write the table there, as LaTeX with booktabs")
@click.option("--markdown", "markdown_file", type=FILE, help="write the table there, as Markdown")
@click.option("--plot", "plot_file", type=FILE, callback=_plot, help="draw it there (.png, .svg, .pdf)")
def compare(
    directories: tuple[Path, ...],
    csv_file: Path | None,
    latex_file: Path | None,
    markdown_file: Path | None,
    plot_file: Path | None,
) -> None:
    """Compare evaluated runs by streams: mean, deviation over seeds and splits, intervals, paired tests.

    Runs that differ by their seed alone are one variant. Variants are compared with that of the first RUN.
    """
    from ipmodel.evaluation.compare import results_of
    from ipmodel.evaluation.compared import keys_table, numbers_table, outputs_of, plot_results, results_table
    from ipmodel.evaluation.outputs import check_outputs
    from ipmodel.evaluation.report import MEASURES, measures_of
    from ipmodel.evaluation.tested import on_common_splits, read_runs
    from ipmodel.evaluation.variants import variants_of

    files = {"--csv": csv_file, "--latex": latex_file, "--markdown": markdown_file, "--plot": plot_file}
    outputs = outputs_of(files)
    check_outputs(outputs)
    runs = on_common_splits(read_runs(directories))
    variants = variants_of(runs)
    results = results_of(variants)
    if not results:
        raise ModelError(f"no stream has scores on all of {', '.join(runs[0].tables)}; `ipmodel eval` makes them")
    table = results_table(results, variants, with_top5=measures_of(len(runs[0].record["classes"])) == MEASURES)
    keys = keys_table(variants)
    tables = [table] if keys is None else [table, keys]
    click.echo("\n\n".join(one.in_text() for one in tables))
    made: dict[str, Callable[[Output], str | bytes]] = {
        "--csv": lambda _: numbers_table(results, variants, list(runs[0].tables)).in_csv(),
        "--latex": lambda _: "\n\\bigskip\n".join(one.in_latex() for one in tables),
        "--markdown": lambda _: "\n".join(one.in_markdown() for one in tables),
        "--plot": lambda output: plot_results(results, variants, output.path.suffix),
    }
    written = {option: made[option](output) for option, output in outputs.items()}
    for option, data in written.items():
        outputs[option].write(data.encode() if isinstance(data, str) else data)
