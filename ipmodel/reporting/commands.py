"""`ipmodel report`: the paper's tables and figures from runs."""

import json
import time
from pathlib import Path
from typing import Any

import click

from ipmodel.errors import ModelError
from shards.terminal import say_done

FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.argument("directories", metavar="RUN...", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=FILE, required=True, help="the HTML file to write")
@click.option("--markdown", type=FILE, help="also write the tables there, as Markdown")
@click.option("--bench", "bench_files", multiple=True, type=FILE, help="what `ipmodel bench --out` wrote; repeatable")
def report(directories: tuple[Path, ...], out: Path, markdown: Path | None, bench_files: tuple[Path, ...]) -> None:
    """Write Tables 1 to 6 and Figures 4 and 5 of the paper from evaluated runs, with its figures beside.

    The report is one HTML file that needs no network. Cells without a run say "not run".
    """
    begun_s = time.monotonic()
    from ipmodel.evaluation.tested import read_runs
    from ipmodel.reporting.document import as_html, as_markdown
    from ipmodel.reporting.parts import parts_of, title_of
    from shards.atomic import write_published

    runs = read_runs(directories)
    parts, title = parts_of(runs, [_bench_of(path) for path in bench_files]), title_of(runs)
    write_published(out, as_html(title, parts).encode("utf-8", "backslashreplace"), temporary_dir=out.parent)
    if markdown is not None:
        text = as_markdown(title, parts).encode("utf-8", "backslashreplace")
        write_published(markdown, text, temporary_dir=markdown.parent)
    click.echo(f"report: {out}")
    say_done(begun_s)


def _bench_of(path: Path) -> dict[str, Any]:
    """Raises: ModelError if the file is not what a bench wrote."""
    try:
        value = json.loads(path.read_text())
        if not {"machine", "networks", "preprocessing_s"} <= value.keys():
            raise ValueError("it lacks machine, networks or preprocessing_s")
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelError(f"{path} is not what `ipmodel bench --out` wrote: {error}") from None
    found: dict[str, Any] = value
    return found
