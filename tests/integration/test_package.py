"""Model directories stand alone: they load from anywhere, say what they are, and refuse what is damaged."""

import getpass
import json
import re
import shutil
import subprocess
from pathlib import Path

import hubs
import numpy as np
import pytest
import yaml
from msgspec.structs import replace
from predicting import source_files
from safetensors.torch import load, save
from serving import serving
from training import flip_a_bit
from training import ipmodel as ipmodel_command

import ipmodel
from ipmodel.errors import ModelError
from ipmodel.runs.checkpoint import FINAL, hash_file
from shards import ShardSet
from shards.errors import ShardError

FILES = ["README.md", "SHA256SUMS", "i.safetensors", "model.json", "of.safetensors", "p.safetensors"]


@pytest.fixture(scope="module")
def run(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run that was evaluated."""
    copy = tmp_path_factory.mktemp("evaluated") / "run"
    shutil.copytree(trained / "run", copy)
    done = ipmodel_command("eval", copy)
    assert done.returncode == 0, done.stderr
    return copy


@pytest.fixture(scope="module")
def directory(run: Path) -> Path:
    out = run.parent / "model"
    done = ipmodel_command("package", run, f"--out={out}", "--license=cc-by-4.0")
    assert done.returncode == 0, done.stderr
    assert "streams i, p, of, 8 classes" in done.stdout and f"next: ipmodel predict {out} VIDEO" in done.stderr
    return out


@pytest.fixture
def copy(directory: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(directory, tmp_path / "model"))


def test_it_holds_what_it_names_and_nothing_of_this_machine(directory: Path, run: Path) -> None:
    assert sorted(path.name for path in directory.iterdir()) == FILES
    done = subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=directory, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count(": OK") == 5, done.stdout
    assert not list(run.parent.glob(".model*"))
    for path in directory.iterdir():
        data = path.read_bytes()
        for word in (str(run.parent), "/tmp", "/home", str(Path.home()), f"/{getpass.getuser()}"):
            assert word.encode() not in data, (path, word)


def test_the_card_states_figures_with_their_intervals(directory: Path, run: Path) -> None:
    text = (directory / "README.md").read_text()
    matter = yaml.safe_load(text.split("---\n")[1])
    assert (matter["license"], matter["pipeline_tag"]) == ("cc-by-4.0", "video-classification")
    figures = json.loads((run / "eval.json").read_text())["splits"]["split-1"]
    (result,) = matter["model-index"][0]["results"]
    assert [metric["value"] for metric in result["metrics"]] == [own["top1"] for own in figures.values()]
    for name, own in figures.items():
        assert re.search(
            rf"^\| {re.escape(name)} \| {100 * own['top1']:.2f} \| [0-9.]+ to [0-9.]+ \|", text, re.MULTILINE
        )
    for words in ("## Intended use and limits", "gop 12", "definition previous", "move\\_left", "## Training"):
        assert words in text
    stated = ipmodel.load(directory, streams=["p"]).streams["p"].description
    assert stated.figures["top1"] == figures["p"]["top1"] and len(stated.figures["top1_interval_95"]) == 2


def test_it_predicts_as_the_run_does_from_a_directory_a_url_and_the_hub(
    directory: Path, run: Path, trained: Path, tmp_path: Path
) -> None:
    source = source_files(ShardSet(trained / "set"), tmp_path)[0]
    expected = ipmodel.load(run, device="cpu").predict(source)
    with serving(directory.parent) as server:
        far = ipmodel.load(f"{server.url}/model", device="cpu")
        assert "model/p.safetensors" in server.asked and "model/of.safetensors" not in server.asked
        server.asked.clear()
        ipmodel.load(f"{server.url}/model", device="cpu")
        assert server.asked == ["model/model.json"]  # the cache has the others
    for model in (ipmodel.load(directory, device="cpu"), far):
        found = model.predict(source)
        assert list(found.opinions) == list(expected.opinions) == ["i+p", "i", "p"]
        for name, opinion in found.opinions.items():
            assert np.array_equal(opinion.logits, expected.opinions[name].logits)


def test_a_run_at_a_url_predicts_as_the_run_does(run: Path, trained: Path, tmp_path: Path) -> None:
    source = source_files(ShardSet(trained / "set"), tmp_path)[0]
    expected = ipmodel.load(run, device="cpu").predict(source)
    with serving(run.parent) as server:
        far = ipmodel.load(f"{server.url}/run/split-1", device="cpu")
        assert not [name for name in server.asked if "model.json" in name or "/of/" in name]
        server.asked.clear()
        again = ipmodel.load(f"{server.url}/run", split="1", device="cpu")
        networks = [name for name in server.asked if name.endswith(FINAL)]
        assert len(networks) == 2  # only their headers: the cache has them
    for model in (far, again):
        for name, opinion in model.predict(source).opinions.items():
            assert np.array_equal(opinion.logits, expected.opinions[name].logits)


def test_a_run_at_a_url_is_checked_too(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))  # one that holds none of its networks
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    network = copied / "split-1" / "i_stream" / FINAL
    with serving(tmp_path) as server:
        with pytest.raises(ModelError, match=r"/run: is a run; name a split of it, such as http.*/run/split-1"):
            ipmodel.load(f"{server.url}/run")
        with pytest.raises(ModelError, match=r"split-1: is no model, .*neither model\.json.* nor run\.json"):
            ipmodel.load(f"{server.url}/run/split-1/split-1")
        with pytest.raises(ShardError, match=r"split-2/i_stream/network\.safetensors\.sha256: "):
            ipmodel.load(f"{server.url}/run/split-2", streams=["i"])
        flip_a_bit(network)
        with pytest.raises(ShardError, match=r"split-1/i_stream/network\.safetensors: the bytes that arrived"):
            ipmodel.load(f"{server.url}/run/split-1", streams=["i"])
        hash_file(network).write_text("none\n")
        with pytest.raises(ModelError, match=r"network\.safetensors\.sha256 beside it no sha256"):
            ipmodel.load(f"{server.url}/run/split-1", streams=["i"])
        network.write_bytes(network.read_bytes()[:100])
        with pytest.raises(ModelError, match=r"network\.safetensors: is torn, or no network's file"):
            ipmodel.load(f"{server.url}/run/split-1", streams=["i"])


LOAD = """
import sys
import ipmodel

model = ipmodel.load(sys.argv[1], streams=["i"])
print(model.location, list(model.streams), len(model.classes))
"""


def test_it_loads_from_a_repository_of_models_on_the_hub(directory: Path, tmp_path: Path) -> None:
    with hubs.hub() as hub:
        commit = hub.add({path.name: path.read_bytes() for path in directory.iterdir()})
        for url in ("hf://lab/set", "hf://datasets/lab/set"):
            done = hub.python(tmp_path, LOAD, url)
            assert done.stdout == f"{url}@{commit} ['i'] 8\n", done.stderr


def test_a_damaged_file_is_refused_by_name(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(copy.parent / "cache"))
    flip_a_bit(copy / "p.safetensors")
    with pytest.raises(ModelError, match=r"p\.safetensors: its bytes do not have the sha256 that model\.json states"):
        ipmodel.load(copy)
    with pytest.raises(ModelError, match=r"p\.safetensors: "):  # alone too
        ipmodel.load(copy / "p.safetensors")
    with serving(copy.parent) as server, pytest.raises(ShardError, match=r"p\.safetensors: the bytes that arrived"):
        ipmodel.load(f"{server.url}/model")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": 2}, "format 2, this version reads 1; update the package"),
        ({"streams": {}}, "needs streams"),
        ({"fusions": {"x": {"q": 1.0}}}, "must name some of the streams"),
        ({"fusions": {"x": {"p": -1.0}}}, "weights must be 0 to"),
        ({"classes": ["a"]}, "its classes are not those of model.json"),
        ({"extra": 1}, "unknown field `extra`"),
    ],
)
def test_a_newer_or_wrong_model_json_is_refused(copy: Path, changed: dict[str, object], said: str) -> None:
    path = copy / "model.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changed}))
    with pytest.raises(ModelError, match=re.escape(said)):
        ipmodel.load(copy)


def test_a_stream_name_cannot_lead_out_of_the_directory(copy: Path) -> None:
    path = copy / "model.json"
    index = json.loads(path.read_text())
    index["streams"] = {"../i": index["streams"]["i"]}
    path.write_text(json.dumps({**index, "fusions": {}}))
    with pytest.raises(ModelError, match="needs streams whose names match"):
        ipmodel.load(copy)


def test_a_directory_that_is_not_empty_is_not_written_to(run: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").touch()
    done = ipmodel_command("package", run, f"--out={tmp_path}")
    assert done.returncode == 1 and "is not empty; name another directory" in done.stderr
    done = ipmodel_command("package", run, f"--out={__file__}")
    said = f"--out {__file__}: cannot be a directory, because it is a file; name another"
    assert done.returncode == 1 and said in done.stderr
    done = ipmodel_command("package", "http://user:password@example.org/run", f"--out={tmp_path / 'new'}")
    said = "http://example.org/run: is a URL, and only runs on this machine can be packaged; copy the run here first"
    assert done.returncode == 1 and said in done.stderr and not (tmp_path / "new").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_what_is_missing_is_named_and_nothing_is_left(run: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    (copied / "split-1" / "p_stream" / FINAL).unlink()
    done = ipmodel_command("package", copied, f"--out={tmp_path / 'model'}")
    assert done.returncode == 1 and f"p_stream/{FINAL}: does not exist; train its phase first" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    done = ipmodel_command("package", copied, f"--out={tmp_path / 'model'}", "--streams=i")
    assert done.returncode == 0 and ipmodel.load(tmp_path / "model").answer == "i", done.stderr
    done = ipmodel_command("predict", copied, "x.avi")
    assert done.returncode == 1 and "stream p needs it; train its phase, or choose other streams" in done.stderr


def test_a_run_of_several_splits_wants_one_named(run: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    shutil.copytree(copied / "split-1", copied / "split-2")
    for arguments in (["predict", copied, "x.avi"], ["package", copied, f"--out={tmp_path / 'model'}"]):
        done = ipmodel_command(*arguments)
        assert done.returncode == 1 and f"name a split, such as {copied}/split-1; it was trained on 1, 2" in done.stderr
    assert list(ipmodel.load(copied / "split-2").streams) == ["i", "p"]
    done = ipmodel_command("package", copied, f"--out={tmp_path / 'model'}", "--split=1", "--streams=p")
    assert done.returncode == 0 and list(ipmodel.load(tmp_path / "model").streams) == ["p"], done.stderr


def test_a_run_without_an_i_stream_or_without_streams(run: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    record = json.loads((copied / "run.json").read_text())
    record["recipe"] |= {"streams": {"p": "p_stream"}, "fusions": {}}
    (copied / "run.json").write_text(json.dumps(record))
    model = ipmodel.load(copied)
    assert (model.answer, list(model.streams)) == ("p", ["p"])
    record["recipe"]["streams"] = {}
    (copied / "run.json").write_text(json.dumps(record))
    for arguments in (["predict", copied, "x.avi"], ["package", copied, f"--out={tmp_path / 'model'}"]):
        done = ipmodel_command(*arguments)
        assert done.returncode == 1 and "its recipe names no streams; name one of its files" in done.stderr


def test_figures_of_another_evaluation_are_left_out(run: Path, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    done = ipmodel_command("eval", copied, "--set=phases.i_stream.test_crops=10")
    assert done.returncode == 0, done.stderr
    done = ipmodel_command("package", copied, f"--out={tmp_path / 'model'}")
    assert done.returncode == 0 and "was with other settings (--set): the card will have no figures" in done.stderr
    assert "so there are no figures" in (tmp_path / "model" / "README.md").read_text()
    (copied / "eval.json").unlink()
    done = ipmodel_command("package", copied, f"--out={tmp_path / 'again'}")
    assert done.returncode == 0 and "the run was not evaluated" in done.stderr


def test_a_run_of_0_1_0_evaluates_and_becomes_a_model(run: Path, tmp_path: Path) -> None:
    """Its networks have no metadata, and no hash beside them."""
    old = Path(shutil.copytree(run, tmp_path / "run"))
    for path in old.rglob(FINAL):
        path.write_bytes(save(load(path.read_bytes())))
        hash_file(path).unlink()
    done = ipmodel_command("predict", old, "x.avi")
    assert done.returncode == 1 and "has no description of the network" in done.stderr
    assert "`ipmodel package RUN --out DIR` makes a model of a run of 0.1.0" in done.stderr
    done = ipmodel_command("eval", old)
    assert done.returncode == 0, done.stderr
    done = ipmodel_command("package", old, f"--out={tmp_path / 'model'}")
    assert done.returncode == 0, done.stderr
    new = ipmodel.load(tmp_path / "model").streams["p"].description
    told = ipmodel.load(run).streams["p"].description
    known = {key: value for key, value in told.training.items() if key != "published_epoch"}  # the run does not say
    assert replace(new, figures={}) == replace(told, training=known)
