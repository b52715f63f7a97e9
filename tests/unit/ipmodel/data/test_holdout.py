"""The validation part: its share of each class, and whole groups."""

from collections import Counter

import msgspec
import pytest
from made_sets import sample_of, scenes

from ipmodel.data.holdout import trained_on, validated_on
from ipmodel.errors import ModelError
from ipmodel.recipe import Validation
from shards import Sample
from shards.keys import key_of


def samples(*, classes: int, each: int, grouped: bool) -> list[Sample]:
    """each: videos of a class. Video n of every class is of person n."""
    made = []
    for number in range(each):
        for class_id in range(classes):
            name = f"class{class_id}/{number}.avi"
            changed = {"name": name, "class_name": f"class{class_id}", "class_id": class_id}
            key = key_of(class_name=f"class{class_id}", name=name)
            group = f"person{number}" if grouped else ""
            made.append(msgspec.structs.replace(sample_of(scenes()[0]), key=key, group=group, **changed))
    return made


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5])
def test_a_share_of_each_class(share: float) -> None:
    whole, validation = samples(classes=3, each=20, grouped=False), Validation(share=share)
    kept, left = validated_on(whole, validation), trained_on(whole, validation)
    assert Counter(sample.class_name for sample in kept) == {f"class{n}": round(20 * share) for n in range(3)}
    assert sorted(kept + left, key=whole.index) == whole and left == [sample for sample in whole if sample in left]


def test_groups_stay_whole_and_the_seed_draws_them() -> None:
    whole = samples(classes=3, each=10, grouped=True)
    drawn = []
    for seed in range(4):
        persons = {sample.group for sample in validated_on(whole, Validation(share=0.2, seed=seed))}
        assert len(persons) == 2
        assert persons.isdisjoint(sample.group for sample in trained_on(whole, Validation(share=0.2, seed=seed)))
        drawn.append(frozenset(persons))
    assert len(set(drawn)) > 1


def test_without_a_share_nothing_is_kept() -> None:
    whole = samples(classes=2, each=3, grouped=False)
    assert trained_on(whole, Validation()) == whole and validated_on(whole, Validation()) == []


def test_a_class_keeps_a_video_to_train_on_and_too_large_groups_are_refused() -> None:
    whole = samples(classes=2, each=2, grouped=False)
    assert len(trained_on(whole, Validation(share=0.9))) == 2
    one_person = [msgspec.structs.replace(sample, group="anna") for sample in whole]
    with pytest.raises(ModelError, match=r"validation.share 0.2 of each class has no room for a whole group; make"):
        trained_on(one_person, Validation(share=0.2))
