"""A network whose bytes are not those that were published is never used: not as a teacher, a start, or in a test."""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest
from training import PHASES, ipmodel, networks, train_options

from ipmodel.runs.checkpoint import FINAL, hash_file
from ipmodel.runs.log import LINE, lines_of
from ipmodel.runs.record import RUN

DEEP = "[" * 100_000


def network_of(run: Path, phase: str) -> Path:
    return run / "split-1" / phase / FINAL


def flip_a_weight(path: Path) -> None:
    """Flip the lowest bit of the last weight: no size, no name and no form changes."""
    data = bytearray(path.read_bytes())
    data[-4] ^= 1
    path.write_bytes(data)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(trained / "run", tmp_path / "run"))


def test_each_network_has_its_hash_beside_it(run: Path) -> None:
    for phase in PHASES:
        path = network_of(run, phase)
        assert hash_file(path).read_text() == f"{sha256(path.read_bytes()).hexdigest()}  {FINAL}\n"


def test_a_flipped_bit_in_a_teacher_is_not_trained_on(trained: Path, run: Path) -> None:
    flip_a_weight(network_of(run, "of_2d"))
    network_of(run, "p_stream").unlink()
    done = ipmodel(*train_options(trained / "set", run, trained / "quick.toml"))
    wrong = f"error: {network_of(run, 'of_2d')}: its bytes do not have the sha256 that {FINAL}.sha256 states"
    assert done.returncode == 1 and wrong in done.stderr, done.stderr
    assert not network_of(run, "p_stream").exists()


def test_a_flipped_bit_in_a_network_is_not_tested(run: Path) -> None:
    flip_a_weight(network_of(run, "i_stream"))
    done = ipmodel("eval", run)
    wrong = f"error: {network_of(run, 'i_stream')}: its bytes do not have the sha256"
    assert done.returncode == 1 and wrong in done.stderr, done.stderr


def test_a_network_that_is_trained_again_gets_its_new_hash(trained: Path, run: Path) -> None:
    before = networks(run)
    flip_a_weight(network_of(run, "i_stream"))
    network_of(run, "i_stream").unlink()
    done = ipmodel(*train_options(trained / "set", run, trained / "quick.toml"))
    assert done.returncode == 0 and networks(run) == before, done.stderr
    assert ipmodel("eval", run).returncode == 0


def test_a_run_of_an_earlier_version_is_used_with_a_warning(run: Path) -> None:
    for phase in PHASES:
        hash_file(network_of(run, phase)).unlink()
    done = ipmodel("eval", run)
    assert done.returncode == 0, done.stderr
    for phase in PHASES:
        said = f"{network_of(run, phase)}: its bytes cannot be checked, because {FINAL}.sha256 is not there"
        assert done.stderr.count(said) == 1, done.stderr


@pytest.mark.parametrize("text", ["", "no hash", "0" * 64])
def test_a_damaged_hash_is_named(run: Path, text: str) -> None:
    hash_file(network_of(run, "i_stream")).write_text(text)
    done = ipmodel("eval", run)
    assert done.returncode == 1 and "take both files from a copy" in done.stderr, done.stderr


def test_a_record_of_a_run_that_nests_too_deep_is_refused(trained: Path, run: Path) -> None:
    (run / RUN).write_text(f'{{"recipe": {DEEP}')
    for arguments in (["eval", run], train_options(trained / "set", run, trained / "quick.toml")):
        done = ipmodel(*arguments)
        assert done.returncode == 1 and f"{run / RUN} is not the record of a run" in done.stderr, done.stderr
        assert "Traceback" not in done.stderr


def test_a_log_with_a_line_that_nests_too_deep_is_read(tmp_path: Path) -> None:
    (tmp_path / LINE).write_text(f"{DEEP}\n{json.dumps({'step': 1})}\n")
    assert lines_of(tmp_path / LINE) == [{"step": 1}]
