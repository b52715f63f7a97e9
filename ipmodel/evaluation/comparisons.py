"""Compares the streams and fusions of one run with each other."""

from collections.abc import Mapping, Sequence
from itertools import combinations

from ipmodel.evaluation.fuse import ScoreTable
from ipmodel.evaluation.paired import Pair, added, pair_of, pairs_per_class
from ipmodel.recipe import TrainRecipe

Tables = Mapping[str, ScoreTable]  # of one split, by stream or fusion
FEW_P = 1e-4  # smaller p-values are not spelt out


def comparisons_of(tables: Tables, pairs: Sequence[tuple[str, str]]) -> list[dict[str, object]]:
    """What eval.json says of each of these pairs of streams and fusions on one split, also class by class."""
    return [
        {
            "first": first,
            "second": second,
            **pair_of(tables[first], tables[second]).as_json(),
            "per_class": {
                name: pair.as_json() for name, pair in pairs_per_class(tables[first], tables[second]).items()
            },
        }
        for first, second in pairs
    ]


def telling_pairs(recipe: TrainRecipe) -> list[tuple[str, str]]:
    """The pairs that answer a question: streams of one modality, a fusion and its streams, and two fusions."""
    streams, fusions = recipe.streams, recipe.fusions
    modality = {name: recipe.phases[phase].modality for name, phase in streams.items()}
    same = [(a, b) for a, b in combinations(streams, 2) if modality[a] == modality[b]]
    own = [(stream, fusion) for fusion, weights in fusions.items() for stream in weights]
    return [*same, *own, *combinations(fusions, 2)]


def pairs_table(pairs: Sequence[tuple[str, str]], splits: Mapping[str, Tables]) -> str:
    """A line for each pair: the difference of top-1 in points, and McNemar's p, on each split or on all together."""
    names = [f"{second} against {first}" for first, second in pairs]
    width = max(len(name) for name in [*names, "paired"])
    lines = [f"{'paired':{width}}      points  only right: second, first  McNemar's p"]
    for name, (first, second) in zip(names, pairs, strict=True):
        for label, pair in compared({split: (tables[first], tables[second]) for split, tables in splits.items()}):
            only = f"{pair.only_second}, {pair.only_first}"
            what = f"{name:{width}}  {100 * pair.difference:+10.2f}  {only:>25}  {p_text(pair.p_value):>11}"
            lines.append(f"{what}  {label}".rstrip())
    return "\n".join(lines)


def compared(splits: Mapping[str, tuple[ScoreTable, ScoreTable]]) -> list[tuple[str, Pair]]:
    """Label and comparison: one of all splits if no video is in two of them, otherwise one for each split.

    The test asks for independent videos, and so for each video once.
    """
    pairs = {split: pair_of(*tables) for split, tables in splits.items()}
    if len(pairs) == 1:
        return [("", next(iter(pairs.values())))]
    names = [name for first, _ in splits.values() for name in first.names]
    if len(names) == len(set(names)):
        return [("all splits", added(list(pairs.values())))]
    return list(pairs.items())


def p_text(p_value: float) -> str:
    """A p-value with as many digits as it deserves, such as "0.041"."""
    return f"< {FEW_P:g}" if p_value < FEW_P else f"{p_value:.2g}" if p_value < 0.1 else f"{p_value:.2f}"
