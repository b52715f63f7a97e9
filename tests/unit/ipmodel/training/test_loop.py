"""A step of training, without its loop: gradients in parts, and a teacher that nothing changes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from made_sets import make_set
from torch import distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from ipmodel.data.batch import Batch, collate
from ipmodel.data.clips import Clips, ClipSettings
from ipmodel.data.inputs import network_input
from ipmodel.data.modality import architecture_of
from ipmodel.errors import ModelError
from ipmodel.networks.resnet import ResNet, frozen
from ipmodel.process.distributed import Ranks
from ipmodel.recipe import Input, ModalityName, Optimiser, Phase, TrainRecipe
from ipmodel.training.loop import train
from ipmodel.training.step import Training, accumulate_gradients
from shards import ShardSet

SMALL = Input(resize_px=32, crop_px=32)
TEACHER = Phase(modality="flow", epochs=1, batch=2, segments=2)
STUDENT = Phase(modality="mr", teacher="teacher", epochs=1, batch=2, segments=2)
CLASSES = 3


@pytest.fixture
def training(tmp_path: Path) -> Training:
    make_set(tmp_path / "set")
    shard_set = ShardSet(tmp_path / "set")
    torch.manual_seed(0)
    return Training(
        phase=STUDENT,
        recipe=TrainRecipe(input=SMALL, phases={"teacher": TEACHER, "student": STUDENT}, workers=0),
        clips=Clips(
            shard_set,
            list(shard_set.samples()),
            ClipSettings(modalities=("mr", "flow"), segments=2, input=SMALL),
        ),
        network=ResNet(architecture_of(STUDENT), CLASSES),
        teacher=frozen(ResNet(architecture_of(TEACHER), CLASSES)),
        directory=tmp_path,
    )


def batch_of(training: Training, clips: int) -> Batch:
    return collate([training.clips[0, number] for number in range(clips)])


def gradients(
    training: Training, network: nn.Module, batch: Batch, *, parts: int
) -> tuple[torch.Tensor, dict[str, float]]:
    network.zero_grad()
    changed = replace(training, phase=replace(training.phase, batch=parts * 5, accumulate=parts))
    terms = accumulate_gradients(changed, network, training.teacher, batch)
    return torch.cat([parameter.grad.flatten() for parameter in network.parameters()]), terms  # type: ignore[union-attr]


def test_gradients_in_parts_are_those_of_the_whole(training: Training) -> None:
    """Five clips in parts of two, two and one. In eval mode: BatchNorm would see other neighbours."""
    network, batch = training.network.eval(), batch_of(training, 5)
    whole, terms = gradients(training, network, batch, parts=1)
    parted, parted_terms = gradients(training, network, batch, parts=3)
    torch.testing.assert_close(parted, whole, rtol=1e-4, atol=1e-5)
    assert parted_terms == {name: pytest.approx(term, rel=1e-4) for name, term in terms.items()}
    assert set(terms) == {"classification", "feature"}


def test_ranks_exchange_gradients_once_a_step(training: Training) -> None:
    """However many parts it is computed in; and they are those of the network by itself."""
    batch = batch_of(training, 4)
    alone, _ = gradients(training, training.network.eval(), batch, parts=2)
    exchanged: list[int] = []

    def exchange(_: None, bucket: dist.GradBucket) -> torch.futures.Future[torch.Tensor]:
        exchanged.append(bucket.index())
        future: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        future.set_result(bucket.buffer())
        return future

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        wrapped = DistributedDataParallel(training.network)
        wrapped.register_comm_hook(None, exchange)
        together, _ = gradients(training, wrapped, batch, parts=2)
    finally:
        dist.destroy_process_group()
    torch.testing.assert_close(together, alone)
    assert exchanged and len(exchanged) == len(set(exchanged))


@pytest.mark.parametrize("modality", ["r", "mr", "flow"])
def test_a_teacher_sees_its_own_modality(training: Training, modality: ModalityName) -> None:
    seen = Phase(modality=modality, epochs=1, batch=2, segments=2)
    teacher = frozen(ResNet(architecture_of(seen), CLASSES))
    recipe = replace(training.recipe, phases={"teacher": seen, "student": STUDENT})
    batch = batch_of(training, 4)
    network = training.network.eval()
    terms = accumulate_gradients(replace(training, recipe=recipe, teacher=teacher), network, teacher, batch)
    inputs = (network_input(batch, name, SMALL, picture_px=training.clips.picture_px) for name in ("mr", modality))
    own, taught = (net(clip).features for net, clip in zip((network, teacher), inputs, strict=True))
    assert terms["feature"] == pytest.approx(50 * (own - taught).abs().mean().item(), rel=1e-4)


def test_the_teacher_learns_nothing_and_keeps_its_statistics(training: Training) -> None:
    assert training.teacher is not None
    before = {name: value.clone() for name, value in training.teacher.state_dict().items()}
    accumulate_gradients(training, training.network.train(), training.teacher, batch_of(training, 4))
    assert all(torch.equal(value, before[name]) for name, value in training.teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in training.teacher.parameters())
    assert training.network.bn1.num_batches_tracked == 1  # the student's do change


def test_training_freezes_the_teacher(training: Training) -> None:
    """A teacher as it comes, in train mode and with gradients, is taught nothing by a phase's steps."""
    teacher = ResNet(architecture_of(TEACHER), CLASSES).train()
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    train(replace(training, teacher=teacher), Ranks())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_a_network_that_its_last_step_broke_is_not_published(training: Training) -> None:
    phase = replace(training.phase, batch=len(training.clips), optimiser=Optimiser(rate=1e38, name="sgd"))
    with pytest.raises(ModelError, match=r"weights are not finite, such as .*; lower optimiser\.rate"):
        train(replace(training, phase=phase), Ranks())
    assert not list(training.directory.glob("*.safetensors"))
