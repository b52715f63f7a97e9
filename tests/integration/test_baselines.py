"""The networks of other papers train and are tested, on a set that has what they see."""

import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F
from training import build_set, ipmodel, log_of

from ipmodel.data.batch import collate
from ipmodel.data.inputs import network_input
from ipmodel.networks.resnet import Architecture, ResNet
from ipmodel.process.distributed import Ranks
from ipmodel.recipe import TrainRecipe
from ipmodel.runs.checkpoint import FINAL, load_network
from ipmodel.runs.network_file import read_network_file
from ipmodel.runs.run import Run, reopen
from ipmodel.training.phases import training_of
from pipelines import load
from shards import ShardSet

SMALL = ("segments=2", "test_segments=2", "epochs=1", "batch=6", "depth=18")


@pytest.fixture(scope="module")
def accumulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A set whose residuals are from the I-frame."""
    out = tmp_path_factory.mktemp("baselines") / "set"
    build_set(out, "--set=residual.definition=accumulated")
    return out


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as torchvision's of a ResNet-18, with random weights."""
    path = tmp_path_factory.mktemp("weights") / "resnet18.pth"
    torch.save(ResNet(Architecture(depth=18, channels=3), 1000).state_dict(), path)
    return path


def figures_of(recipe: str, shards: Path, run: Path, imagenet: Path, *more: str) -> dict[str, float]:
    """Train all phases of a recipe, cut short; return the figures of its streams and fusions."""
    phases = load(TrainRecipe, "train", recipe).phases
    changes = [f"phases.{name}.{change}" for name in phases for change in SMALL]
    changes += ["input.resize_px=32", "input.crop_px=32", "workers=0", *more]
    options = [f"--init=resnet18={imagenet}", *(f"--set={change}" for change in changes)]
    done = ipmodel("train", f"--shards={shards}", f"--recipe={recipe}", f"--out={run}", *options)
    assert done.returncode == 0, done.stderr
    done = ipmodel("eval", run)
    assert done.returncode == 0, done.stderr
    figures: dict[str, float] = json.loads((run / "eval.json").read_text())["mean"]
    return figures


def test_a_partial_file_of_weights_is_taken_when_that_is_asked_for(
    accumulated: Path, imagenet: Path, tmp_path: Path
) -> None:
    """What it lacks is named, and that module alone trains here, where all others have a rate of 0."""
    weights = {k: w for k, w in torch.load(imagenet, weights_only=True).items() if k != "layer4.1.conv2.weight"}
    torch.save(weights, tmp_path / "partial.pth")
    changes = [*(f"phases.i_stream.{change}" for change in SMALL), "input.resize_px=32", "input.crop_px=32"]
    changes += ["phases.i_stream.optimiser.body_multiplier=0", "phases.i_stream.optimiser.stem_multiplier=0"]
    options = ["--recipe=ip_tsn", "--phase=i_stream", "--set=workers=0", *(f"--set={change}" for change in changes)]
    command = ["train", f"--shards={accumulated}", f"--out={tmp_path / 'run'}", *options]
    refused = ipmodel(*command, f"--init=resnet18={tmp_path / 'partial.pth'}")
    assert refused.returncode == 1 and "no weight layer4.1.conv2.weight" in refused.stderr, refused.stderr
    done = ipmodel(*command, f"--init=resnet18={tmp_path / 'partial.pth'}", "--init-partial")
    assert done.returncode == 0, done.stderr
    assert "partial.pth lacks layer4.1.conv2.weight; all of layer4 begins from random values" in done.stderr
    network = load_network(tmp_path / "run/split-1/i_stream" / FINAL)
    run = Run(
        directory=tmp_path / "again",
        shard_set=ShardSet(accumulated),
        recipe=load(TrainRecipe, "train", "ip_tsn", changes),
        imagenet={18: tmp_path / "partial.pth"},
        init_partial=True,
    )
    begun = training_of(run, split="1", name="i_stream").network.state_dict()
    changed = {n for n in network if n.endswith("conv1.weight") and not torch.equal(network[n], begun[n])}
    assert changed == {"layer4.0.conv1.weight", "layer4.1.conv1.weight"}


def test_coviars_networks_train_and_are_fused(accumulated: Path, imagenet: Path, tmp_path: Path) -> None:
    figures = figures_of("coviar", accumulated, tmp_path / "run", imagenet)
    assert {"i", "mv", "r", "mr", "mr_of_t", "of", "i+mv+r", "i+mv+r+mr_of_t"} <= figures.keys()
    done = ipmodel("predict", tmp_path / "run/split-1", accumulated, "--streams=mv")
    assert done.returncode == 1 and "sees what is accumulated since the I-frame" in done.stderr, done.stderr


def test_residuals_from_the_iframe_do_not_stand_for_those_to_the_picture_before(
    accumulated: Path, tmp_path: Path
) -> None:
    done = ipmodel("train", f"--shards={accumulated}", "--recipe=tiny", f"--out={tmp_path / 'run'}")
    said = "residual has the definition accumulated, a phase wants previous or codec; build one with"
    assert done.returncode == 1 and said in done.stderr, done.stderr


def test_motion_vectors_alone_are_taught_by_flow(accumulated: Path, imagenet: Path, tmp_path: Path) -> None:
    figures = figures_of("emv", accumulated, tmp_path / "run", imagenet)
    assert {"mv_taught", "mv_plain", "of"} <= figures.keys()
    assert {"feature", "soft_label", "classification"} <= log_of(tmp_path / "run", "mv_taught")[0].keys()
    assert "feature" not in log_of(tmp_path / "run", "mv_plain")[0]


def test_dmc_nets_generator_comes_nearer_to_flow_before_it_classifies(
    trained: Path, imagenet: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    more = ("validation.share=0.2", "select=best", "phases.generator.epochs=30")
    assert {"dmc", "i+mv+r+dmc"} <= figures_of("dmc_net", trained / "set", run, imagenet, *more).keys()
    log = log_of(run, "generator")
    assert log[-1]["motion"] < 0.5 * log[0]["motion"] and "classification" not in log[0]
    assert {"motion", "classification"} <= log_of(run, "dmc")[0].keys()
    before, after = (load_network(run / "split-1" / phase / FINAL) for phase in ("generator", "dmc"))
    published = torch.load(imagenet, weights_only=True)
    assert torch.equal(before["layer1.0.conv1.weight"], published["layer1.0.conv1.weight"])  # not trained yet
    assert not torch.equal(after["layer1.0.conv1.weight"], published["layer1.0.conv1.weight"])
    description, network = read_network_file(run / "split-1" / "generator" / FINAL)
    assert description.training["published_epoch"] == 30  # without classification, no epoch is the best
    opened = reopen(run, shards=None, overrides=(), ranks=Ranks())
    training = training_of(opened, split="1", name="generator")
    batch = collate([training.clips[0, number] for number in range(8)])
    own, flow = (
        network_input(batch, name, training.recipe.input, picture_px=training.clips.picture_px)
        for name in ("mr", "flow")
    )
    with torch.inference_mode():
        made = network(own).motion
    assert F.mse_loss(made, flow) < 2 * flow.square().mean()  # nearly as near as no motion, after some steps
