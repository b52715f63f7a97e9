"""Read the lists that come with datasets, as lines or as CSV. Errors name the file and the line."""

import csv
import io
import re
from pathlib import Path

from ipdata.datasets.base import printable_name, shown
from ipdata.errors import BuildError
from shards.text import printable_bytes

MAX_LIST_BYTES = 256 << 20  # the largest official one has 20 MB


def find_lists(root: Path, pattern: re.Pattern[str]) -> dict[str, Path]:
    """Name -> path of the files whose names match: in the directory or, if it has none, in the folders directly below.

    Raises: BuildError if `root` is not a directory, or if two of those folders have a file of the same name.
    """
    if not root.is_dir():
        raise BuildError(f"no directory {shown(root)}; --splits must be a directory that holds the dataset's lists")
    found = _lists_in(root, pattern)
    if found:
        return found
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        for name, path in _lists_in(folder, pattern).items():
            if name in found:
                raise BuildError(
                    f"{shown(found[name])} and {shown(path)} have the same name; choose one with --splits DIR"
                )
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
    """The error for one line of a list."""
    return BuildError(f"{shown(path)}, line {number}: {problem}")


def quoted(text: str) -> str:
    """A line or cell for a message, cut to a readable length."""
    return f'"{text if len(text) <= 100 else text[:100] + "..."}"'


def read_lines(path: Path) -> list[tuple[int, str]]:
    """Line numbers and lines, without surrounding blanks, byte order mark and empty lines. Escaped as printable_name.

    Raises: BuildError if the file cannot be read.
    """
    lines = enumerate(_read(path).splitlines(), start=1)
    return [(number, printable_bytes(line.strip())) for number, line in lines if line.strip()]


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, and of each row the line number and as many cells. Empty lines are left out.

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
        with path.open("rb") as file:
            data = file.read(MAX_LIST_BYTES + 1)
        if len(data) > MAX_LIST_BYTES:
            raise BuildError(f"{shown(path)}: has more than {MAX_LIST_BYTES} bytes, so it is no list of a dataset")
        return data.removeprefix(b"\xef\xbb\xbf")
    except OSError as error:
        raise BuildError(f"cannot read {shown(path)}: {error.strerror}; check the path and its permissions") from None
