"""What `ipmodel eval` says of the epoch that was published."""

import json
import re
from pathlib import Path

from training import ipmodel, log_of, train_options


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
    said = re.findall(r"epochs that were best in validation, on 25 % of the train subset: i (\d) of 3", done.stdout)
    assert said == [f"{best['epoch']:.0f}"]
    written = json.loads((run / "eval.json").read_text())["published"]
    assert written == {"split-1": {"i": {"epoch": int(best["epoch"]), "epochs": 3, "select": "best"}}}
