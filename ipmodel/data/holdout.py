"""Which videos of the train subset are kept for validation. Pure functions of the records."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence

from ipmodel.errors import ModelError
from ipmodel.recipe import Validation
from shards import Sample


def trained_on(samples: Sequence[Sample], validation: Validation) -> list[Sample]:
    """The samples that are left to train on."""
    held_out = _keys(samples, validation)
    return [sample for sample in samples if sample.key not in held_out]


def validated_on(samples: Sequence[Sample], validation: Validation) -> list[Sample]:
    """The samples that are kept for validation."""
    held_out = _keys(samples, validation)
    return [sample for sample in samples if sample.key in held_out]


def _keys(samples: Sequence[Sample], validation: Validation) -> set[str]:
    """The keys of the validation part: whole groups, in an order that the seed decides, while every class has room.

    Raises: ModelError if no group is small enough.
    """
    if not validation.share:
        return set()
    videos = Counter(sample.class_name for sample in samples)
    room = {name: _videos_of_class(count, validation.share) for name, count in videos.items()}
    kept: set[str] = set()
    for group in _in_drawn_order(samples, validation.seed):
        wanted = Counter(sample.class_name for sample in group)
        if all(room[name] >= count for name, count in wanted.items()):
            kept |= {sample.key for sample in group}
            room = {name: left - wanted[name] for name, left in room.items()}
    if not kept:
        cure = "make validation.share larger, or 0"
        raise ModelError(f"validation.share {validation.share} of each class has no room for a whole group; {cure}")
    return kept


def _videos_of_class(count: int, share: float) -> int:
    """The share of a class's videos, rounded: at least one, and one is left to train on."""
    return min(max(round(count * share), 1), count - 1)


def _in_drawn_order(samples: Sequence[Sample], seed: int) -> list[list[Sample]]:
    """The samples by group. A sample without a group is one by itself."""
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[f"group {sample.group}" if sample.group else f"video {sample.key}"].append(sample)
    names = sorted(groups, key=lambda name: hashlib.sha256(f"{seed},{name}".encode()).digest())
    return [groups[name] for name in names]
