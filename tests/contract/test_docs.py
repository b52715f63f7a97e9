"""The site shows docstrings as they are written, and is built with locked versions. Promises name their tests."""

import ast
import re
import runpy
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
CONF = runpy.run_path(str(REPOSITORY / "docs" / "site" / "conf.py"))


def rendered(docstring: str) -> str:
    lines = docstring.split("\n")
    CONF["plain_text"](None, "function", "name", None, None, lines)
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("docstring", "expected"),
    [
        ("Sum of |grad u| * 2, for u_ of:\n1. rows", r"\ Sum of \|grad u\| \* 2, for u\_ of\: 1. rows"),
        ("- no list", r"\ - no list"),
        ("With `a_b`s.", r"\ With \ ``a_b``\ s."),
        ("Draw.\n\nRaises: ShardError if `a`\n    is b.", "\\ Draw.\n\n\\ **Raises** ShardError if \\ ``a``\\  is b."),
        ("Read. Raises: ModelError.", r"\ Read. Raises ModelError."),
        ("Use.\n\nExample:\n    a = *b\n      c", "\\ Use.\n\n.. code-block:: python\n\n   a = *b\n     c"),
        (f"Go wrong.\n\n{CONF['BUILTIN_INIT']}", r"\ Go wrong."),
    ],
)
def test_docstrings_are_plain_text(docstring: str, expected: str) -> None:
    assert rendered(docstring) == expected
    if "Example" not in docstring:
        assert (
            rendered(expected) == expected
        )  # for a class, the text of its __init__ is added, which was rendered before


def test_versions_are_locked() -> None:
    lines = (REPOSITORY / "docs" / "requirements.txt").read_text("utf-8").splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert len(pins) > 10
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
    assert {"furo", "myst-parser", "sphinx", "sphinx-autoapi"} <= {pin.split("==")[0].lower() for pin in pins}


NAMED_TEST = re.compile(r"`([a-z]+/[\w/]+\.py)::(\w+)`")  # in docs/reliability.md; below tests/


def test_each_promise_names_tests_that_exist_and_that_make_faults_runs() -> None:
    makefile = (REPOSITORY / "Makefile").read_text("utf-8")
    lines = (REPOSITORY / "docs" / "reliability.md").read_text("utf-8").splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith(("| ---", "| fault ", "| **"))]
    assert len(rows) > 20
    for row in rows:
        named = NAMED_TEST.findall(row)
        assert named, f"{row}: names no test"
        for file, name in named:
            functions = ast.parse((REPOSITORY / "tests" / file).read_text("utf-8")).body
            assert name in {node.name for node in functions if isinstance(node, ast.FunctionDef)}, f"{file}::{name}"
            assert file.startswith("faults/") or Path(file).name.removeprefix("test_") in makefile, file


def test_the_readme_is_short() -> None:
    lines = (REPOSITORY / "README.md").read_text("utf-8").splitlines()
    assert len(lines) <= 150 and max(map(len, lines)) <= 120
