"""What `ipmodel eval` says of the epoch that was published."""

import json
import re
from pathlib import Path

from training import ipmodel, log_of, train_options

from ipmodel.data.holdout import validated_on
from ipmodel.recipe import Validation
from shards import ShardSet


def test_the_best_epoch_is_named_wherever_figures_are(trained: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    changes = ["--set=validation.share=0.25", "--set=select=best", "--set=phases.i_stream.epochs=3"]
    changes += ["--set=phases.i_stream.batch=4", "--set=streams={i='i_stream'}", "--set=fusions={}"]
    done = ipmodel(*train_options(trained / "set", run, trained / "quick.toml", "--phase=i_stream", *changes))
    assert done.returncode == 0, done.stderr
    epochs = [line for line in log_of(run, "i_stream") if "validation_top1" in line]
    assert len(epochs) == 3
    best = max(epochs, key=lambda line: (line["validation_top1"], -line["validation_loss"]))
    done = ipmodel("eval", run)
    assert done.returncode == 0, done.stderr
    line = r"best in validation, on (\d+) of (\d+) videos of the train subset: i (\d) of 3"
    ((kept, of, *said),) = re.findall(line, done.stdout)
    samples = list(ShardSet(trained / "set").samples(split="1", subset="train"))
    rows = len(validated_on(samples, Validation(share=0.25)))
    assert (int(kept), int(of)) == (rows, len(samples)) and 0 < rows < len(samples) / 2
    assert said == [f"{best['epoch']:.0f}"]
    written = json.loads((run / "eval.json").read_text())["published"]
    assert written == {"split-1": {"i": {"epoch": int(best["epoch"]), "epochs": 3, "select": "best"}}}
