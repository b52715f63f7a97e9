"""Training recipes as data."""

import re
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from ipmodel.data.modality import architecture_of
from ipmodel.recipe import Phase, TrainRecipe
from pipelines import RecipeError, load, names

BASELINES = ("coviar", "coviar_ucf101", "dmc_net", "emv")  # recipes of other papers


def channels_of(phase: Phase) -> int:
    return architecture_of(phase).channels


@pytest.mark.parametrize("name", [name for name in names("train") if name not in (*BASELINES, "r_teacher")])
def test_every_packaged_recipe_has_the_papers_phases(name: str) -> None:
    recipe = load(TrainRecipe, "train", name)
    if name == "i_2d_3d":
        extra = recipe.phases.pop("i_2d_3d")
        assert (extra.init, channels_of(extra), extra.last_2d_stage) == ("i_stream", 3, "conv3")
        assert recipe.streams.pop("i_2d") == "i_stream" and recipe.phases["i_stream"].depth == extra.depth == 18
    p_stream, plain = recipe.phases["p_stream"], recipe.phases["p_plain"]
    builds_on = {name: (phase.init, phase.teacher) for name, phase in recipe.phases.items()}
    assert builds_on == {
        "mr_2d": ("", ""),
        "of_2d": ("", ""),
        "mr_2d_distilled": ("mr_2d", "of_2d"),
        "of_2d_3d": ("of_2d", ""),
        "mr_2d_3d": ("mr_2d_distilled", ""),
        "p_stream": ("mr_2d_3d", "of_2d_3d"),
        "i_stream": ("", ""),
        "mr_2d_plain": ("mr_2d", ""),
        "mr_2d_3d_plain": ("mr_2d_plain", ""),
        "p_plain": ("mr_2d_3d_plain", ""),
    }
    assert p_stream.last_2d_stage == plain.last_2d_stage == "conv3" and p_stream.distillation.feature_weight == 50
    assert channels_of(p_stream) == 5 and channels_of(recipe.phases["of_2d_3d"]) == 2
    assert set(recipe.streams) == {"i", "p", "p_2d", "p_plain", "of"}


def test_a_clip_holds_what_the_network_and_its_teacher_see() -> None:
    recipe = load(TrainRecipe, "train", "ip_tsn")
    assert recipe.modalities_of("p_stream") == ("mr", "flow") and recipe.modalities_of("p_plain") == ("mr",)
    own_kind = load(TrainRecipe, "train", "ip_tsn", ["phases.mr_2d_distilled.teacher=mr_2d"])
    assert own_kind.modalities_of("mr_2d_distilled") == ("mr",)


def test_phases_that_no_stream_needs() -> None:
    recipe = load(TrainRecipe, "train", "ip_tsn")
    assert recipe.unneeded == [] and replace(recipe, streams={}, fusions={}).unneeded == []
    p_alone = replace(recipe, streams={"p": "p_stream"}, fusions={})
    assert p_alone.unneeded == ["i_stream", "mr_2d_plain", "mr_2d_3d_plain", "p_plain"]
    teacher = replace(recipe, streams={"of": "of_2d_3d"}, fusions={})
    assert set(recipe.phases) - set(teacher.unneeded) == {"of_2d", "of_2d_3d"}


@pytest.mark.parametrize("name", [name for name in names("train") if name not in BASELINES])
def test_networks_that_are_compared_train_equally_long(name: str) -> None:
    """With distillation, without, and the teacher: in 2D, in 3D, and so in all."""
    recipe = load(TrainRecipe, "train", name)

    def epochs(phase_name: str, kind: str) -> int:
        phase = recipe.phases[phase_name]
        own = phase.epochs if kind == ("2D" if phase.last_2d_stage == "conv5" else "3D") else 0
        return own + (epochs(phase.init, kind) if phase.init else 0)

    for kind in ("2D", "3D"):
        assert epochs("p_stream", kind) == epochs("p_plain", kind) == epochs("of_2d_3d", kind) > 0
    plain_of = {"mr_2d_distilled": "mr_2d_plain", "mr_2d_3d": "mr_2d_3d_plain", "p_stream": "p_plain"}
    for distilled, plain in plain_of.items():
        alike = replace(recipe.phases[plain], init="", teacher="")
        assert replace(recipe.phases[distilled], init="", teacher="") == alike


def test_the_paper_at_full_size() -> None:
    recipe = load(TrainRecipe, "train", "ip_tsn")
    assert recipe.phases["i_stream"].depth == 152 and recipe.phases["p_stream"].segments == 16
    assert (recipe.input.resize_px, recipe.input.crop_px) == (256, 224)


@pytest.mark.parametrize("name", names("train"))
def test_where_the_paper_is_rebuilt_training_crops_are_coviars(name: str) -> None:
    expected = "squashed" if name in ("ip_tsn_scratch", "ip_tsn_small", "tiny") else "picture"
    assert load(TrainRecipe, "train", name).input.training_crops == expected


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("phases.p_stream.teacher=later", "phases.p_stream.teacher must name an earlier phase, got 'later'"),
        ("phases.mr_2d.init=p_stream", "must name an earlier phase"),
        ("streams.i=nothing", "streams.i must name a phase"),
        ("phases.mr_2d.depth=20", "phases.mr_2d.depth must be one of 18, 34, 50, 101, 152, got 20"),
        ("phases.mr_2d.flow_weight=1", "flow_weight needs generator = true"),
        ("phases.mr_2d.classification_weight=0", "classification_weight = 0 trains a generator alone: it needs flow_w"),
        ("phases.p_stream.classification_weight=0", "classification_weight = 0 trains a generator alone"),
        ("phases.mr_2d.optimiser.steps=[0]", "steps must be positive"),
        ("phases.mr_2d.generator=true", "must name a phase of the same modality, depth and generator, got 'mr_2d'"),
        ("phases.mr_2d.epochs=0", "phases.mr_2d: segments, epochs, batch and accumulate must be at least 1"),
        ("phases.mr_2d.epocs=3", "unknown key phases.mr_2d.epocs"),
        ("phases.new.modality=mr", "missing key phases.new.epochs"),
        ("phases.mr_2d.optimiser.steps=[9, 3]", "steps must increase"),
        ("phases.mr_2d.optimiser.steps=[0.5, 3]", "steps must be whole epochs, or all of them shares below 1"),
        ("phases.mr_2d.optimiser.steps=[1.5]", "steps must be whole epochs, or all of them shares below 1"),
        (
            "phases.p_stream={teacher='of_2d', modality='mr', last_2d_stage='conv3', epochs=1, batch=8,"
            " distillation={features='frame'}}",
            "phases.p_stream.distillation: features = \"frame\" needs equal last_2d_stage, 'of_2d' has conv5",
        ),
        ("phases=3", "phases must be a table, each entry a table of modality"),
        ("input.scales=[1.5]", "scales must lie in"),
        ("input.training_crops=round", "input.training_crops must be one of 'squashed', 'picture', got 'round'"),
        ("input.colour_jitter=-3", "colour_jitter must lie in"),
        ("input.motion_bound_px=0", "motion_bound_px must be 0.0001 to 10000, got 0"),
        ("seed=-1", "seed must not be negative, got -1"),
        ("workers=-1", "workers must not be negative, got -1"),
        ("phases.scores={modality='i', epochs=1, batch=1}", "a phase cannot be called scores"),
        ("phases.mr_2d.optimiser.weight_decay=-1", "momentum and weight_decay must not be negative"),
        (
            "phases.p_stream.depth=50",
            "p_stream.init must name a phase of the same modality, depth and generator",
        ),
        (
            "phases.mr_2d.last_2d_stage=conv1",
            "phases.mr_2d_distilled.init must name a phase that can be inflated: 'mr_2d' has 3D stages where",
        ),
        ("streams.a/b=p_stream", "'a/b' cannot be a name; use letters"),
        ("phases.i_stream.test_crops=5", "test_crops must be one of 1, 10, got 5"),
        ("phases.i_stream.test_segments=-1", "test_segments must not be negative"),
        ("phases.i_stream.test_segments=4097", "segments and test_segments must be at most 4096, got 4097"),
        ("input.resize_px=9000", "resize_px must be at most 8192, got 9000"),
        ("workers=100000", "workers must be at most 1024, got 100000"),
        ("fusions.both.nothing=1", "fusions.both must name streams, got nothing"),
        ("fusions.alone.i=1", "must name at least two streams"),
        ("fusions.i={i=1, p=1}", "i is the name of a stream and of a fusion"),
    ],
)
def test_wrong_recipes_are_refused(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        load(TrainRecipe, "train", "tiny", [override])


def test_coviars_networks_are_a_recipe() -> None:
    """The upper rows of Table 2: all 2D, of accumulated MV and R; of them one has a teacher."""
    recipe = load(TrainRecipe, "train", "coviar")
    seen = {phase.modality for phase in recipe.phases.values()}
    assert seen == {"i", "mv_accumulated", "r_accumulated", "mr_accumulated", "flow"}
    assert {(phase.test_segments, phase.test_crops) for phase in recipe.phases.values()} == {(25, 10)}
    assert {phase.last_2d_stage for phase in recipe.phases.values()} == {"conv5"}
    channels = {name: channels_of(phase) for name, phase in recipe.phases.items()}
    assert channels == {"i": 3, "mv": 2, "r": 3, "of": 2, "mr": 5, "mr_plain": 5, "mr_of_t": 5}
    assert {name: phase.teacher for name, phase in recipe.phases.items() if phase.teacher} == {"mr_of_t": "of"}
    assert list(recipe.fusions["i+mv+r+mr_of_t"].values()) == [2, 1, 1, 1]


@pytest.mark.parametrize("name", ["coviar", "coviar_ucf101", "emv"])
def test_networks_of_other_papers_with_and_without_a_teacher_train_equally_long(name: str) -> None:
    phases = load(TrainRecipe, "train", name).phases
    taught, plain = ("mv_taught", "mv_plain") if name == "emv" else ("mr_of_t", "mr_plain")
    begun = phases[phases[taught].init].epochs
    assert phases[taught].init == phases[plain].init and phases[taught].epochs == phases[plain].epochs
    assert phases["of"].epochs == begun + phases[taught].epochs


def test_the_control_differs_in_what_its_teacher_sees_alone() -> None:
    recipe = load(TrainRecipe, "train", "r_teacher")
    controls = {"r_2d": "of_2d", "mr_2d_by_r": "mr_2d_distilled", "r_2d_3d": "of_2d_3d"}
    controls |= {"mr_2d_3d_by_r": "mr_2d_3d", "p_by_r": "p_stream"}
    for control, phase in controls.items():
        own, other = recipe.phases[control], recipe.phases[phase]
        builds_on = {name: controls.get(name, name) for name in (own.init, own.teacher)}
        assert (builds_on[own.init], builds_on[own.teacher]) == (other.init, other.teacher)
        assert replace(own, init="", teacher="", modality=other.modality) == replace(other, init="", teacher="")
    assert recipe.modalities_of("p_by_r") == ("mr", "r")


def documented_changes() -> list[list[str]]:
    """Every `--set ...` of docs/reproduction.md; a long one goes over two lines."""
    page = Path(__file__).parents[3] / "docs" / "reproduction.md"
    spans = re.findall(r"`((?:--set \S+\s*)+)`", page.read_text())
    return [span.replace("--set ", "").split() for span in spans]


@pytest.mark.parametrize("changes", documented_changes(), ids=" ".join)
def test_the_papers_tables_are_recipes(changes: list[str]) -> None:
    base, changed = (asdict(load(TrainRecipe, "train", "ip_tsn", overrides)) for overrides in ((), changes))
    for change in changes:
        key, _, value = change.partition("=")
        before, after = base, changed
        for part in key.split("."):
            before, after = before[part], after[part]
        assert before != after and str(after).removesuffix(".0") == value


def test_tables_3_to_5_are_documented() -> None:
    assert len(documented_changes()) == 5
