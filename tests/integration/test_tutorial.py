"""The commands of docs/tutorial-own-data.md, from end to end, on a few synthetic clips with a shorter recipe."""

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path

import imageio_ffmpeg
import onnxruntime
import pytest
from commands import in_process
from predicting import source_files
from sources import REPOSITORY
from training import torch_set_back

from ipmodel.evaluation.fuse import load_scores
from shards import ShardSet, verify

PAGE = (REPOSITORY / "docs" / "tutorial-own-data.md").read_text("utf-8")
SHORTER = {  # options that the test adds, so that clips are few and small
    "ipdata": "--set transcode.width=48 --set transcode.height=48 --set flow.warps=1",
    "ipdata build": "--scheduler none",
    "ipmodel bench": "--repeats 1 --largest-batch 1",
}


def commands_of_the_page() -> Iterator[str]:
    for block in re.findall(r"```console\n(.*?)```", PAGE, flags=re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            yield re.match(r"(?:.*\\\n)*.*", part)[0].replace("\\\n", " ")  # type: ignore[index]


def shorter_recipe() -> str:
    """The recipe of the page with an epoch for each phase, on small pictures."""
    (recipe,) = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)
    recipe = re.sub(
        r"^epochs = .*\noptimiser = .*$", "epochs = 1\nbatch = 4\noptimiser = { steps = [] }", recipe, flags=re.M
    )
    return recipe.replace('base = "ip_tsn_small"\n', 'base = "tiny"\n[input]\nresize_px = 32\ncrop_px = 32\n')


def test_the_page_goes_from_a_folder_to_a_report(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clips = source_files(ShardSet(trained / "set"), tmp_path / "videos", subset="train")
    new = source_files(ShardSet(trained / "set"), tmp_path / "new")[:2]
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-stream_loop", "60", "-i", new[0], "-t", "45"]
    subprocess.run([*ffmpeg, tmp_path / "long.mp4"], check=True)
    (tmp_path / "short.toml").write_text(shorter_recipe())
    monkeypatch.chdir(tmp_path)
    for command in commands_of_the_page():
        added = " ".join(more for begin, more in SHORTER.items() if command.startswith(begin))
        program, *arguments = shlex.split(f"{command} {added}")
        with torch_set_back():
            done = in_process({"ipshards": "shards.cli"}.get(program, f"{program}.cli"), arguments)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    assert len(ShardSet(tmp_path / "set")) == len(clips) and list(verify(tmp_path / "set")) == []
    both = [load_scores(tmp_path / "runs" / run / "split-1/scores/i.npz") for run in ("lambda50", "lambda5")]
    assert (both[0].logits == both[1].logits).all()  # the I-stream is shared
    for network in ("i", "p"):
        assert onnxruntime.InferenceSession(str(tmp_path / "deployed" / f"{network}.onnx")).get_inputs()
    for page in ("pages/set/index.html", "pages/new/index.html", "runs/lambda50/split-1/mistakes/index.html"):
        assert (tmp_path / page).read_text("utf-8").startswith("<!doctype html>"), page
    assert "not run" in (tmp_path / "report.html").read_text("utf-8")
    assert (tmp_path / "table.tex").read_text().count("lambda5") and (tmp_path / "table.png").stat().st_size


def test_the_page_names_the_whole_way() -> None:
    verbs = {" ".join(command.split()[:2]) for command in commands_of_the_page()}
    models = ("train", "eval", "compare", "package", "predict", "export", "bench", "report")
    assert verbs >= {"ipdata build", "ipshards verify", "ipshards show", *(f"ipmodel {verb}" for verb in models)}
