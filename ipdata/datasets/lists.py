"""Reading the lists that come with datasets: lines and CSV, from anywhere, with errors that name file and line."""

import csv
import io
import re
from pathlib import Path

from ipdata.datasets.base import printable_name, shown
from ipdata.errors import BuildError
from shards.text import printable_bytes


def find_lists(root: Path, pattern: re.Pattern[str]) -> dict[str, Path]:
    """Files by name that match the pattern: those in the directory, or else those in the folders directly below it.

    Raises: BuildError where the directory is none, or where two of those folders have files of one name.
    """
    if not root.is_dir():
        raise BuildError(f"no directory {shown(root)}; --splits must be a directory that holds the dataset's lists")
    found = _lists_in(root, pattern)
    if found:
        return found
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for name, path in _lists_in(folder, pattern).items():
            if name in found:
                raise BuildError(f"{shown(found[name])} and {shown(path)}: which one counts? Choose with --splits DIR")
            found[name] = path
    return found


def _lists_in(folder: Path, pattern: re.Pattern[str]) -> dict[str, Path]:
    try:
        paths = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".") and path.is_file()]
    except OSError as error:
        raise BuildError(f"cannot read the folder {shown(folder)}: {error.strerror}; check its permissions") from None
    names = {printable_name(path, below=folder): path for path in paths}
    return {name: path for name, path in names.items() if pattern.fullmatch(name)}


def bad_line(path: Path, number: int, problem: str) -> BuildError:
    return BuildError(f"{shown(path)}, line {number}: {problem}")


def quoted(text: str) -> str:
    """A line or cell for a message, cut to a readable length."""
    return f'"{text if len(text) <= 100 else text[:100] + "..."}"'


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Numbered lines, without surrounding blanks, a byte order mark and empty lines; escaped as names on disk are."""
    lines = enumerate(_read(path).splitlines(), start=1)
    return [(number, printable_bytes(line.strip())) for number, line in lines if line.strip()]


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and the numbered rows, each with as many cells; empty lines are left out.

    Raises: BuildError that names file and line.
    """
    text = _read(path).decode("utf-8", "backslashreplace")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = [(reader.line_num, [printable_bytes(cell.encode()) for cell in row]) for row in reader if row]
    except csv.Error as error:
        raise bad_line(path, reader.line_num, f"not CSV: {error}") from None
    if not rows:
        raise BuildError(f"{shown(path)}: empty; expected a CSV with a header")
    (_, header), *rows = rows
    for number, row in rows:
        if len(row) != len(header):
            raise bad_line(path, number, f"expected {len(header)} cells ({','.join(header)}), got {len(row)}")
    return header, rows


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise BuildError(f"cannot read {shown(path)}: {error.strerror}") from None
