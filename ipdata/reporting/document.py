"""The report as one HTML file, which needs no network. `report.html` beside this module has its style and script."""

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

from ipdata.errors import BuildError
from ipdata.log import LOG as LOG_FILE
from ipdata.log import read_log
from ipdata.reporting import parts
from ipdata.reporting.blocks import Block, section
from ipdata.reporting.contents import contents_of
from ipdata.reporting.history import History
from ipdata.reporting.sheets import sheets_part
from ipdata.status.state import status_of
from ipdata.status.words import clock
from ipdata.steps.output import BUILD_DIR, Output
from ipdata.steps.started import Started
from shards.errors import ShardError
from shards.regular import open_regular
from shards.sheet.page import shown

TEMPLATE = "report.html"  # beside this module
TITLE_MARK = "<!--TITLE-->"
TITLE = "Build of"  # titles begin so
REPORT = "report.html"  # in .build

LOG = logging.getLogger(__name__)


@contextmanager
def reported(output: Output) -> Iterator[None]:
    """Write .build/report.html after this block, also if it ends with a BuildError. The caller holds the lock.

    A report that cannot be written is logged and costs nothing else.
    """
    try:
        yield
    except BuildError:
        _write(output)
        raise
    _write(output)


def _write(output: Output) -> None:
    try:
        page = page_of(output.directory, now=time.time(), held_by_caller=True)
        output.publish(f"{BUILD_DIR}/{REPORT}", page)
    except (OSError, ShardError) as error:
        LOG.warning("the report of the build is not written: %s", error)
    except Exception:  # whatever it is, the set is built
        LOG.warning("the report of the build is not written; this is a bug, please report it", exc_info=True)


def page_of(directory: Path, *, now: float, held_by_caller: bool = False) -> bytes:
    """The page of the output in a directory. Arguments and errors: as status_of."""
    status = status_of(directory, now=now, names=parts.FAILED_NAMES, held_by_caller=held_by_caller)
    output, history = Output(directory), History()
    started = Started.read(output)
    history.add_all(read_log(output.build_dir / LOG_FILE))
    contents = contents_of(output, keys=[key for _, key, _ in history.slowest])
    made: list[Block] = [
        parts.totals_part(status),
        parts.rate_part(history),
        parts.stages_part(history),
        parts.classes_part(started, contents),
        *parts.histogram_parts(contents),
        parts.failures_part(status),
        *parts.missing_part(status),
        parts.slowest_part(history, contents),
        parts.workers_part(status),
        parts.duplicates_part(contents),
        *parts.unread_part(contents),
        sheets_part(directory, contents.first_of_class),
    ]
    dataset = status.dataset or "unknown dataset"
    title = f"{TITLE} {dataset}: {status.published.videos} videos"
    return _filled(title, f"{directory}, as of {clock(now)}", made).encode("utf-8", "backslashreplace")


def check_page(path: Path) -> None:
    """Raises: BuildError if there is something at the path that is no earlier page; OSError."""
    if not os.path.lexists(path):
        return
    cure = "name another file, or remove it"
    if path.is_symlink() or not path.is_file():
        raise BuildError(f"--html {path}: is no file that can be replaced; {cure}")
    begins = (_template().partition(TITLE_MARK)[0] + TITLE).encode()
    with open_regular(path) as file:
        found = file.read(len(begins))
    if found and found != begins:
        raise BuildError(f"--html {path}: is there and is no page of `ipdata status`; {cure}")


def _template() -> str:
    return (resources.files("ipdata.reporting") / TEMPLATE).read_text("utf-8")


def _filled(title: str, about: str, made: list[Block]) -> str:
    page = _template()
    for name, text in (("TITLE", shown(title)), ("ABOUT", shown(about)), ("PARTS", "\n".join(map(section, made)))):
        page = page.replace(f"<!--{name}-->", text)  # no part has such a mark: `<` is escaped in all texts
    return page
