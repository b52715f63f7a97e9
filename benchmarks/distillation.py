"""Does distillation help? Trains and tests the chains of a recipe of this folder, for each split and seed.

Run it with `python -m benchmarks.distillation SET RUNS --seeds 0,1 --at-once 5`. It writes
benchmarks/results/<date>-<name>.json: what each stream and fusion predicts for each test video. The same command goes
on where it ended. `python -m benchmarks.distillation_tables FILE` prints the tables of docs/reproduction.md.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import product
from pathlib import Path

import torch

from benchmarks.harness import RESULTS
from ipmodel.evaluation.evaluate import scores_of
from ipmodel.evaluation.fuse import load_scores
from ipmodel.evaluation.report import with_fusions
from ipmodel.networks.weights import weights_sha256
from ipmodel.process.distributed import ranks
from ipmodel.recipe import Phase, TrainRecipe
from ipmodel.runs.record import as_json
from ipmodel.runs.run import Run
from ipmodel.training.phases import train_phases
from pipelines import load
from shards import ShardSet

RECIPES = ("distillation", "quick_distillation")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shards", help="a set of mv, residual and flow, and of iframe for the stream i")
    parser.add_argument("runs", type=Path, help="where networks and scores are kept")
    parser.add_argument("--recipe", choices=RECIPES, default=RECIPES[0])
    parser.add_argument("--name", help="of the results  [default: the recipe's]")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--splits", help="[default: all]")
    parser.add_argument("--streams", help="[default: all but i]")
    parser.add_argument("--at-once", type=int, default=1, help="how many splits and seeds train side by side")
    parser.add_argument("--stop-after-s", type=float, help="stop then, and write what there is")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="change a key of the recipe")
    parser.add_argument("--init", type=Path, help="ImageNet weights of a ResNet-18 to begin with, whole or partial")
    parser.add_argument("--one", help="SEED,SPLIT: train and test only this one, in this process")
    given = parser.parse_args()
    recipe = recipe_of(given.recipe, given.changes, given.streams)
    if given.one:
        seed, split = given.one.split(",")
        train_and_test(given.shards, given.runs, int(seed), split, recipe, init=given.init)
        return
    manifest = ShardSet(given.shards).manifest
    splits = [manifest.split_name(split) for split in given.splits.split(",")] if given.splits else manifest.splits
    deadline = time.monotonic() + (given.stop_after_s or 1e9)
    given.runs.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(given.at_once) as threads:
        jobs = [",".join(pair) for pair in product(given.seeds.split(","), splits)]
        list(threads.map(partial(in_own_process, deadline=deadline), jobs))
    folders = [given.runs / "scores" / "seed{}-{}".format(*job.split(",")) for job in jobs]
    write_results(given.shards, folders, given.name or given.recipe, recipe, init=given.init)


def recipe_of(name: str, changes: Sequence[str], streams: str | None) -> TrainRecipe:
    """A recipe of this folder, with some of its streams and the fusions of these."""
    recipe = load(TrainRecipe, "train", str(Path(__file__).with_name(f"{name}.toml")), changes)
    chosen = streams.split(",") if streams else [stream for stream in recipe.streams if stream != "i"]
    fusions = {fusion: weights for fusion, weights in recipe.fusions.items() if weights.keys() <= set(chosen)}
    return replace(recipe, streams={stream: recipe.streams[stream] for stream in chosen}, fusions=fusions)


def in_own_process(job: str, *, deadline: float) -> None:
    """Trains and tests one split with one seed, until the deadline on the monotonic clock."""
    command = [sys.executable, "-m", "benchmarks.distillation", *sys.argv[1:], "--one", job]
    left_s = deadline - time.monotonic()
    if left_s > 0:
        try:
            subprocess.run(command, check=True, timeout=left_s)
        except subprocess.TimeoutExpired:
            print(f"{job}: stopped; the same command goes on")


def train_and_test(shards: str, runs: Path, seed: int, split: str, recipe: TrainRecipe, *, init: Path | None) -> None:
    """Trains the chain of one network after the other, and keeps its scores as soon as they are there."""
    recipe = replace(recipe, seed=seed, workers=1)
    imagenet = {} if init is None else {18: init}
    run = Run(
        directory=runs / f"seed{seed}",
        shard_set=ShardSet(shards),
        recipe=recipe,
        imagenet=imagenet,
        init_partial=init is not None,
    )
    run.check()  # that RUNS holds no scores of another recipe or set
    with ranks() as own:
        for stream, phase in recipe.streams.items():
            kept = scores_file(runs, seed, split, stream)
            if not kept.is_file():
                train_phases(run, split=split, names=chain_of(recipe.phases, phase), ranks=own)
                kept.parent.mkdir(parents=True, exist_ok=True)
                unfinished = kept.with_suffix(".unfinished")
                scores_of(run, split=split, phase=phase, ranks=own).save(unfinished)
                unfinished.rename(kept)


def scores_file(runs: Path, seed: int, split: str, stream: str) -> Path:
    return runs / "scores" / f"seed{seed}-{split}" / f"{stream}.npz"


def chain_of(phases: dict[str, Phase], name: str) -> list[str]:
    """A phase and all that it builds on, in the recipe's order."""
    needed, left = set(), [name]
    while left:
        phase = left.pop()
        needed.add(phase)
        left += [other for other in (phases[phase].init, phases[phase].teacher) if other]
    return [phase for phase in phases if phase in needed]


def predictions_of(folder: Path, recipe: TrainRecipe) -> dict[str, dict[str, str]]:
    """The class that each stream and fusion predicts for each test video, by the video's name, as far as tested."""
    tables = {stream: load_scores(path) for stream in recipe.streams if (path := folder / f"{stream}.npz").is_file()}
    fusions = {fusion: weights for fusion, weights in recipe.fusions.items() if weights.keys() <= tables.keys()}
    return {
        what: {name: table.classes[row.argmax()] for name, row in zip(table.names, table.logits, strict=True)}
        for what, table in with_fusions(tables, fusions).items()
    }


def write_results(shards: str, folders: Sequence[Path], name: str, recipe: TrainRecipe, *, init: Path | None) -> None:
    """Gathers the predictions of these splits and seeds, as far as they were tested."""
    predictions = {folder.name: predictions_of(folder, recipe) for folder in folders if folder.is_dir()}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    manifest = ShardSet(shards).manifest
    result = {
        "device": device,
        "torch": torch.__version__,
        "manifest_sha256": manifest.sha256,
        "dataset": manifest.dataset,
        "recipe": as_json(recipe),
        "imagenet_sha256": "" if init is None else weights_sha256(init),
        "predictions": predictions,
    }
    path = RESULTS / f"{date.today().isoformat()}-{name}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"next: python -m benchmarks.distillation_tables {path}")


if __name__ == "__main__":
    main()
