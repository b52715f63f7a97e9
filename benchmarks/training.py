"""Training on the CPU with `ipmodel train`: steps a second, and the share of the time spent waiting for data."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.builds import build_into

RECIPE = "ip_tsn_small"
PHASES = ("mr_2d", "of_2d", "p_plain", "i_stream")  # these need no phases but each other
BATCH, STEPS = 8, 8


def training_table() -> str:
    """A table for each phase, with one loader process. A phase's first two steps are slower and do not count."""
    lines = ["| phase | steps/s | clips/s | waiting for data |", "| --- | --- | --- | --- |"]
    with tempfile.TemporaryDirectory() as folder:
        run, shards = Path(folder) / "run", Path(folder) / "set"
        build_into(shards, "--limit-videos=16", "--scheduler=none")
        changes = [f"--set=phases.{phase}.{key}" for phase in PHASES for key in (f"batch={BATCH}", f"epochs={STEPS}")]
        changes.append("--set=phases.p_plain.init=mr_2d")
        for phase in PHASES:
            command = ["train", f"--shards={shards}", f"--recipe={RECIPE}", f"--out={run}", f"--phase={phase}"]
            arguments = [*command, "--set=workers=1", *changes]
            subprocess.run([sys.executable, "-m", "ipmodel", *arguments], check=True, capture_output=True)
            log = (run / "split-1" / phase / "log.jsonl").read_text().splitlines()
            steps = [json.loads(line) for line in log][2:]
            seconds, wait_s = (sum(step[key] for step in steps) for key in ("seconds", "wait_s"))
            rate = len(steps) / seconds
            lines.append(f"| {phase} | {rate:.2f} | {BATCH * rate:.1f} | {wait_s / seconds:.0%} |")
    return "\n".join(lines)
