"""Does distillation help? Trains and tests the chains of a recipe of this folder, for each fold and seed.

Run it with `python -m benchmarks.distillation SET RUNS --seeds 0,1 --at-once 5`, on few real videos, or with
`--recipe synthetic_distillation` on synthetic ones. It writes benchmarks/results/<date>-<recipe>.json: what each stream
but I predicts for each test video. The same command goes on where it ended.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from functools import partial
from itertools import product
from pathlib import Path

import torch

from benchmarks.harness import RESULTS
from ipmodel.evaluation.evaluate import scores_of
from ipmodel.process.distributed import Ranks, ranks
from ipmodel.recipe import Phase, TrainRecipe
from ipmodel.runs.record import as_json
from ipmodel.runs.run import Run
from ipmodel.training.phases import train_phases
from pipelines import load
from shards import ShardSet

RECIPES = ("distillation", "synthetic_distillation")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("shards", help="a set of mv, residual and flow, with several splits")
    parser.add_argument("runs", type=Path, help="where networks and predictions are kept")
    parser.add_argument("--recipe", choices=RECIPES, default=RECIPES[0])
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--at-once", type=int, default=1, help="how many folds train side by side")
    parser.add_argument("--stop-after-s", type=float, help="stop then, and write what there is")
    parser.add_argument("--set", dest="changes", action="append", default=[], help="change a key of the recipe")
    parser.add_argument("--one", help="SEED,SPLIT: train and test only this one, in this process")
    given = parser.parse_args()
    if given.one:
        seed, split = given.one.split(",")
        train_and_test(given.shards, given.runs, int(seed), split, recipe_of(given.recipe, given.changes))
        return
    deadline = time.monotonic() + (given.stop_after_s or 1e9)
    jobs = [",".join(pair) for pair in product(given.seeds.split(","), ShardSet(given.shards).manifest.splits)]
    given.runs.mkdir(parents=True, exist_ok=True)
    with ThreadPoolExecutor(given.at_once) as threads:
        list(threads.map(partial(in_own_process, given, deadline=deadline), jobs))
    write_results(given.runs, given.recipe, recipe_of(given.recipe, given.changes))


def recipe_of(name: str, changes: list[str]) -> TrainRecipe:
    return load(TrainRecipe, "train", str(Path(__file__).with_name(f"{name}.toml")), changes)


def in_own_process(given: argparse.Namespace, job: str, *, deadline: float) -> None:
    """Trains and tests one fold with one seed, until the deadline on the monotonic clock."""
    command = [sys.executable, "-m", "benchmarks.distillation", given.shards, str(given.runs), "--one", job]
    command += [f"--recipe={given.recipe}", *(f"--set={change}" for change in given.changes)]
    left_s = deadline - time.monotonic()
    if left_s > 0:
        try:
            subprocess.run(command, check=True, timeout=left_s)
        except subprocess.TimeoutExpired:
            print(f"{job}: stopped; the same command goes on")


def train_and_test(shards: str, runs: Path, seed: int, split: str, recipe: TrainRecipe) -> None:
    """Trains the chain of one network after the other, and keeps its predictions as soon as they are there."""
    recipe = replace(recipe, seed=seed, workers=1)
    run = Run(directory=runs / f"seed{seed}", shard_set=ShardSet(shards), recipe=recipe, imagenet={})
    kept = runs / f"seed{seed}-{split}.json"
    predictions = json.loads(kept.read_text()) if kept.is_file() else {}
    with ranks() as own:
        for what, phase in recipe.streams.items():
            if what not in predictions and recipe.phases[phase].modality != "i":
                train_phases(run, split=split, names=chain_of(recipe.phases, phase), ranks=own)
                predictions[what] = predictions_of(run, split, phase, own)
                kept.write_text(json.dumps(predictions))


def chain_of(phases: dict[str, Phase], name: str) -> list[str]:
    """A phase and all that it builds on, in the recipe's order."""
    needed, left = set(), [name]
    while left:
        phase = left.pop()
        needed.add(phase)
        left += [other for other in (phases[phase].init, phases[phase].teacher) if other]
    return [phase for phase in phases if phase in needed]


def predictions_of(run: Run, split: str, phase: str, own: Ranks) -> dict[str, str]:
    """The class that a phase's network predicts for each test video, by the video's name."""
    scores = scores_of(run, split=split, phase=phase, ranks=own)
    return dict(zip(scores.names, (run.classes[number] for number in scores.logits.argmax(axis=1)), strict=True))


def write_results(runs: Path, name: str, recipe: TrainRecipe) -> None:
    """Gathers the predictions of all folds and seeds, and prints how many are right."""
    predictions = {path.stem: json.loads(path.read_text()) for path in sorted(runs.glob("seed*-*.json"))}
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    result = {"device": device, "torch": torch.__version__, "recipe": as_json(recipe), "predictions": predictions}
    (RESULTS / f"{date.today().isoformat()}-{name}.json").write_text(json.dumps(result, indent=1) + "\n")
    right, tested = Counter[str](), Counter[str]()
    for networks in predictions.values():
        for what, classes in networks.items():
            tested[what] += len(classes)
            right[what] += sum(name.startswith(f"{found}/") for name, found in classes.items())
    for what, count in tested.items():
        print(f"{what}: {right[what]} of {count} right, {right[what] / count:.1%}")


if __name__ == "__main__":
    main()
