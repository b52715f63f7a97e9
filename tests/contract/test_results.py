"""The tables of docs/reproduction.md are what the recorded results give."""

import re
import shlex
from collections.abc import Iterator

import pytest
from sources import REPOSITORY

from benchmarks import distillation_tables

DOCUMENT = REPOSITORY / "docs" / "reproduction.md"


def commands() -> Iterator[list[str]]:
    """The arguments of each command of the document that prints tables."""
    text = DOCUMENT.read_text().replace("\\\n", " ")
    for found in re.finditer(r"^python -m benchmarks\.distillation_tables (.*)$", text, re.MULTILINE):
        yield shlex.split(found[1])


@pytest.mark.parametrize("arguments", list(commands()), ids=lambda arguments: arguments[0].rpartition("/")[2])
def test_tables_are_those_of_the_record(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(REPOSITORY)
    monkeypatch.setattr("sys.argv", ["distillation_tables", *arguments])
    distillation_tables.main()
    tables = capsys.readouterr().out.strip().split("\n\n")
    assert len(tables) == 2
    for table in tables:
        assert table in DOCUMENT.read_text(), table


def test_the_document_has_tables() -> None:
    assert len(list(commands())) == 7


def test_how_two_networks_are_compared() -> None:
    """By hand: of four tests, only the first network has two right, only the second one."""
    first = {"a/1": "a", "a/2": "a", "b/1": "a", "b/2": "b"}
    second = {"a/1": "b", "a/2": "b", "b/1": "b", "b/2": "b"}
    predictions = {"seed0-split1": {"p": first, "p_plain": second}, "seed1-split1": {"p": first}}
    paired = distillation_tables.paired(predictions, ["p:p_plain"]).splitlines()[-1]
    assert paired == "| P, lambda 50, the paper's; P, lambda 0 | 4 | 2 | 1 | 1.000 |"
    own, plain = distillation_tables.accuracies(predictions).splitlines()[2:][::-1]
    assert plain == "| P, lambda 0 | 50.0 |  | 50.0 |  | 15.0 to 85.0 | 4 |"
    assert own == "| P, lambda 50, the paper's | 75.0 | 75.0 | 75.0 | 0.0 | 30.1 to 95.4 | 4 |"
