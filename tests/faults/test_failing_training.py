"""Each call that writes fails in turn while a network is trained: one line says so, and the same command goes on."""

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from amounts import FIGURE, seeded, some
from breaking import failing, watched
from commands import Done
from training import QUICK, ipmodel, train_options

from ipmodel.runs.checkpoint import FINAL

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
ONE_PHASE = QUICK[: QUICK.index("[phases.p_stream]")]


def test_a_call_that_fails_stops_a_training_and_a_rerun_gives_the_same_network(
    trained: Path, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    recipe = tmp_path / "one_phase.toml"
    recipe.write_text(ONE_PHASE)

    def train(folder: Path) -> Done:
        return ipmodel(*train_options(trained / "set", folder / "run", recipe))

    def network(folder: Path) -> bytes:
        return (folder / "run/split-1/of_2d" / FINAL).read_bytes()

    with watched(tmp_path / "whole") as calls:
        assert train(tmp_path / "whole").returncode == 0
    numbers = some(range(len(calls)), 3, purpose="training")
    for number in numbers:
        drawn, folder = seeded(f"training{number}"), tmp_path / str(number)
        error, onwards = drawn.choice(ERRORS), drawn.choice((False, True))
        with watched(folder, failing(number, error, onwards=onwards)):
            done = train(folder)
        at = f"call {number} of {len(calls)}, {calls[number]}, {os.strerror(error)}, {onwards}: {done.stderr}"
        assert "Traceback" not in done.stderr and done.returncode in (0, 1), at
        if done.returncode:
            last = done.stderr.splitlines()[-1]
            assert last.startswith("error: ") and str(folder) in last, at
        again = train(folder)
        assert again.returncode == 0 and network(folder) == network(tmp_path / "whole"), f"{at}\n{again.stderr}"
        shutil.rmtree(folder)
    record_property(FIGURE, f"{len(numbers)} failing calls in a training, of {len(calls)} calls")
