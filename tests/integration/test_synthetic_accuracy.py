"""The paper's point, on the synthetic set: what moves is told by the P-stream, what is coloured by the I-stream.

The slowest test: the phases of the recipe `tiny`, as `make demo` trains them, on more and shorter videos, smaller
pictures, and so with fewer epochs. It takes one thread, and leaves the other processors to other tests.

Seen with seeds 0, 1 and 2: the P-stream told 1.0 of what moves and 0.0 of the colours; the I-stream 0.2 to 0.4 and 1.0.
Fused, 0.88 to 1.0 of all were right; by one stream, at most 0.75.
"""

import json
from pathlib import Path

import numpy as np
from commands import in_process
from training import ipmodel

MOTION = ("move_left", "move_right", "rotate_cw", "rotate_ccw", "zoom_in", "zoom_out")
APPEARANCE = ("warm", "cool")
# The I-stream soon tells colours, and then only learns the training videos by heart. The surer it is of what moves, the
# less the P-stream says in their sum.
EPOCHS = {  # and after which of them the rate falls
    "mr_2d": (10, [7, 9]),
    "of_2d": (10, [7, 9]),
    "mr_2d_distilled": (2, [1]),
    "of_2d_3d": (2, [1]),
    "mr_2d_3d": (2, [1]),
    "p_stream": (9, [7]),
    "i_stream": (3, [2]),
    "mr_2d_plain": (1, []),
    "mr_2d_3d_plain": (1, []),
    "p_plain": (1, []),
}
SHORT = ["--set=synthetic.videos_per_class=10", "--set=synthetic.frames=16"]
SMALL = ["--set=input.resize_px=48", "--set=input.crop_px=40"]
SMALL += [f"--set=phases.{phase}.batch=28" for phase in ("mr_2d_plain", "mr_2d_3d_plain", "p_plain")]


def test_streams_tell_what_they_can_see_and_fused_tell_more(tmp_path: Path) -> None:
    build = ["build", "--dataset=synthetic", f"--out={tmp_path / 'set'}", "--scheduler=none"]
    built = in_process("ipdata.cli", [*build, *SHORT])
    assert built.returncode == 0, built.stderr
    options = [f"--shards={tmp_path / 'set'}", "--recipe=tiny", f"--out={tmp_path / 'run'}", *SMALL]
    for phase, (epochs, steps) in EPOCHS.items():
        options += [f"--set=phases.{phase}.epochs={epochs}", f"--set=phases.{phase}.optimiser.steps={steps}"]
    trained = ipmodel("train", *options)
    assert trained.returncode == 0, trained.stderr
    done = ipmodel("eval", tmp_path / "run", f"--shards={tmp_path / 'set'}")
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "run" / "eval.json").read_text())["splits"]["split-1"]

    def accuracy(stream: str, classes: tuple[str, ...]) -> float:
        return float(np.mean([figures[stream]["per_class"][name] for name in classes]))

    # Guessing among the six gives 0.17, of 18 videos with a deviation of 0.09; what was seen lies between 0.0 and 0.4.
    assert accuracy("p", MOTION) > 0.6 and accuracy("i", MOTION) < 0.5, done.stdout
    assert accuracy("i", APPEARANCE) > 0.9 and accuracy("p", APPEARANCE) < 0.9, done.stdout
    assert figures["i+p"]["top1"] > max(figures["i"]["top1"], figures["p"]["top1"]), done.stdout
    for picture in ("curves.png", "scores/i+p.png"):
        assert (tmp_path / "run" / "split-1" / picture).read_bytes().startswith(b"\x89PNG")
