"""If data or a GPU is missing, IPTSN_REQUIRE turns the skips into failures."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
NEEDS_DATA = TESTS / "unit/ipdata/datasets/test_official_splits.py"


def run(require: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a module that needs the real lists, without the lists."""
    environment = os.environ | {"IPTSN_DATA": "/nowhere", "IPTSN_REQUIRE": require}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(NEEDS_DATA)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=TESTS.parent)


@pytest.mark.parametrize(
    ("require", "status", "word"), [("", 0, "skipped"), ("gpu", 0, "skipped"), ("data,gpu", 1, "error")]
)
def test_what_is_required_must_be_there(require: str, status: int, word: str) -> None:
    done = run(require)
    assert done.returncode == status, done.stdout
    assert f" {word}" in done.stdout.splitlines()[-1]
    assert "NO REAL DATA: /nowhere is not there" in done.stdout


def test_a_misspelt_requirement_is_an_error() -> None:
    done = run("dta")
    assert done.returncode != 0 and "IPTSN_REQUIRE names dta; known: data, gpu, rar" in done.stdout + done.stderr
