"""`ipmodel report`: the paper's tables and figures from runs."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import click
from msgspec import Meta, Struct, field

from ipmodel.errors import ModelError
from shards.errors import ShardError
from shards.records import parse
from shards.terminal import say_done

FILE = click.Path(path_type=Path, dir_okay=False)
Seconds = Annotated[float, Meta(gt=0, lt=1e9)]


class _Batches(Struct):
    """Seconds by the number of clips in a batch; the report needs those of one clip."""

    one: Seconds = field(name="1")


class _Network(Struct):
    modality: str
    depth: int
    frames: int
    size_px: int
    multiply_adds: Annotated[float, Meta(ge=0, lt=1e30)]
    seconds: Annotated[dict[str, _Batches], Meta(min_length=1)]


class _Preprocessing(Struct):
    columns: dict[str, Seconds]
    video: dict[str, Seconds] = field(default_factory=dict)


class _Machine(Struct):
    device: str


class _Bench(Struct):
    """The part of a bench that the report needs."""

    machine: _Machine
    networks: dict[str, _Network]
    preprocessing_s: _Preprocessing


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
    from ipmodel.evaluation.outputs import check_outputs
    from ipmodel.evaluation.tested import read_runs
    from ipmodel.reporting.document import as_html, as_markdown
    from ipmodel.reporting.parts import outputs_of, parts_of, title_of

    outputs = outputs_of(out, markdown)
    check_outputs(outputs)
    runs = read_runs(directories)
    parts, title = parts_of(runs, [_bench_of(path) for path in bench_files]), title_of(runs)
    texts = {"--out": as_html, "--markdown": as_markdown}
    written = {option: texts[option](title, parts).encode("utf-8", "backslashreplace") for option in outputs}
    for option, data in written.items():
        outputs[option].write(data)
    click.echo(f"report: {out}")
    say_done(begun_s)


def _bench_of(path: Path) -> dict[str, Any]:
    """Raises: ModelError if the file is not what a bench wrote."""
    from ipmodel.runs.record import MAX_BYTES, read_bounded

    data = read_bounded(path, max_bytes=MAX_BYTES)
    try:
        parse(data, _Bench, where="its JSON")
        found: dict[str, Any] = json.loads(data)
    except (ShardError, ValueError, RecursionError) as error:
        raise ModelError(f"{path} is not what `ipmodel bench --out` wrote: {error}") from None
    return found
