"""The networks: torchvision's in 2D, the paper's costs in 3D."""

import pytest
import torch

from ipmodel.data.modality import architecture_of
from ipmodel.networks.cost import multiply_adds
from ipmodel.networks.dmc import Generator
from ipmodel.networks.layers import InputNorm
from ipmodel.networks.resnet import LAST_2D_STAGES, Architecture, Last2dStage, ResNet, frozen, last_values
from ipmodel.paper import TABLE4, table1
from ipmodel.recipe import TrainRecipe
from pipelines import load


@pytest.mark.parametrize("depth", [18, 34, 50, 152])
def test_in_2d_it_is_torchvisions(depth: int) -> None:
    models = pytest.importorskip("torchvision", reason="torchvision is what ours is compared with").models
    theirs = getattr(models, f"resnet{depth}")().eval()
    ours = ResNet(Architecture(depth=depth, channels=3), 1000).eval()  # type: ignore[arg-type]
    ours.load_state_dict(theirs.state_dict())
    images = torch.rand(2, 3, 64, 64)
    assert torch.equal(ours(images.unsqueeze(2)).logits, theirs(images))


def test_the_papers_multiply_adds() -> None:
    """Tables 1 and 4, for 16 frames of 224 px."""

    def giga(architecture: Architecture) -> float:
        return round(multiply_adds(architecture, frames=16, size_px=224) / 1e9, 2)

    p_streams = {stage: giga(Architecture(depth=18, channels=5, last_2d_stage=stage)) for stage in TABLE4}
    assert p_streams == {"none": 80.47, "conv2": 46.79, "conv3": 33.85, "conv4": 34.85, "conv5": 30.28}
    for stage, (_, _, stated) in TABLE4.items():
        assert p_streams[stage] == pytest.approx(float(stated), rel=0.07)
    assert giga(Architecture(depth=152, channels=3)) == 184.19


def test_the_multiply_adds_that_the_paper_states_for_others() -> None:
    """CoViAR and DMC-Net in Table 1, for 16 frames of 224 px; the generator in the paper of DMC-Net, for one."""

    def giga(recipe: str, *phases: str, frames: int = 16) -> float:
        known = load(TrainRecipe, "train", recipe).phases
        costs = (multiply_adds(architecture_of(known[name]), frames=frames, size_px=224) for name in phases)
        return sum(costs) / 1e9

    assert giga("coviar", "i", "mv", "r") == pytest.approx(table1("GFLOPs", "CoViAR"), rel=0.01)
    assert giga("dmc_net", "i", "mv", "r", "dmc") == pytest.approx(table1("GFLOPs", "DMC-Net"), rel=0.01)
    generator = Generator(channels=5)
    assert sum(parameter.numel() for parameter in generator.parameters()) == 4584
    assert giga("dmc_net", "dmc", frames=1) - giga("coviar", "mv", frames=1) == pytest.approx(0.2285, abs=1e-4)


def test_2d_scores_are_means_over_frames() -> None:
    network = ResNet(Architecture(depth=18, channels=5, input_norm=True), 4).eval()
    clip = torch.rand(2, 5, 3, 32, 32)
    each = [network(clip[:, :, t : t + 1]) for t in range(3)]
    torch.testing.assert_close(network(clip).logits, torch.stack([s.logits for s in each]).mean(0))
    torch.testing.assert_close(network(clip).features, torch.stack([s.features for s in each]).mean(0))


@pytest.mark.parametrize("stage", LAST_2D_STAGES)
@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("frames", [1, 3, 16])
def test_any_stage_and_length(stage: str, depth: int, frames: int) -> None:
    network = ResNet(Architecture(depth=depth, channels=2, last_2d_stage=stage), 7).eval()  # type: ignore[arg-type]
    scores = network(torch.rand(2, 2, frames, 32, 32))
    assert scores.logits.shape == (2, 7) and scores.features.shape == (2, 512 if depth == 18 else 2048)
    assert torch.isfinite(scores.logits).all()


def test_3d_stages_see_the_order_of_frames_and_2d_ones_do_not() -> None:
    clip = torch.rand(1, 2, 8, 32, 32)
    for stage, sees in (("conv5", False), ("conv3", True)):
        network = ResNet(Architecture(depth=18, channels=2, last_2d_stage=stage), 7).eval()  # type: ignore[arg-type]
        forwards, backwards = network(clip).logits, network(clip.flip(2)).logits
        assert torch.allclose(forwards, backwards, atol=1e-4) != sees


def test_the_paddings_in_time_differ_at_the_ends_alone() -> None:
    networks = {}
    for padding in ("replicate", "zeros"):
        torch.manual_seed(0)
        architecture = Architecture(depth=18, channels=2, last_2d_stage="conv4", time_padding=padding)  # type: ignore[arg-type]
        networks[padding] = ResNet(architecture, 7).eval()
    clip = torch.rand(1, 256, 20, 4, 4)  # what conv5 sees
    repeated, zeros = (network.layer4[0].conv1(clip) for network in networks.values())
    torch.testing.assert_close(repeated[:, :, 1:-1], zeros[:, :, 1:-1])
    assert not torch.allclose(repeated[:, :, 0], zeros[:, :, 0])
    assert not torch.allclose(repeated[:, :, -1], zeros[:, :, -1])


def test_the_inputs_batchnorm_is_pytorchs() -> None:
    torch.manual_seed(0)
    own, theirs = InputNorm(5), torch.nn.BatchNorm2d(5)
    theirs.load_state_dict(own.state_dict())
    for _ in range(3):
        x, y = 3 * torch.randn(4, 5, 6, 7) + 2, torch.randn(4, 5, 6, 7)
        seen, expected = own(x), theirs(x)
        torch.testing.assert_close(seen, expected, atol=1e-5, rtol=1e-5)
        for norm, output in ((own, seen), (theirs, expected)):
            norm.zero_grad()
            (output * y).sum().backward()
        for name, parameter in own.named_parameters():
            torch.testing.assert_close(parameter.grad, theirs.get_parameter(name).grad, atol=1e-4, rtol=1e-4)
    for name, value in own.state_dict().items():
        torch.testing.assert_close(value, theirs.state_dict()[name])
    torch.testing.assert_close(own.eval()(x), theirs.eval()(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("stage", LAST_2D_STAGES)
@pytest.mark.parametrize(("frames", "size_px"), [(1, 16), (5, 33), (16, 112)])
def test_values_of_the_last_stage(stage: Last2dStage, frames: int, size_px: int) -> None:
    architecture = Architecture(depth=18, channels=2, last_2d_stage=stage)
    with torch.device("meta"):
        network, clip = ResNet(architecture, 3), torch.empty(1, 2, frames, size_px, size_px)
    shapes = []
    network.layer4.register_forward_hook(lambda module, taken, given: shapes.append(given.shape))
    network.eval()(clip)
    (shape,) = shapes
    assert shape.numel() / 512 == last_values(architecture, frames=frames, size_px=size_px)


def test_pooling_and_classifier_are_float32_within_autocast() -> None:
    network = frozen(ResNet(Architecture(depth=18, channels=2), classes=5))
    clip = torch.randn(2, 2, 2, 64, 64)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = network(clip)
        assert network.conv1(clip[:, :, 0]).dtype == torch.bfloat16
    assert scores.logits.dtype == scores.features.dtype == torch.float32
    assert torch.equal(scores.logits, network.fc(scores.features))
    assert not torch.equal(scores.features, scores.features.bfloat16().float())


def test_compilers_see_one_graph() -> None:
    """Also within autocast. A break would cost what compiling gains."""
    network = frozen(ResNet(Architecture(depth=18, channels=2, last_2d_stage="conv3"), classes=5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        explained = torch._dynamo.explain(network)(torch.randn(1, 2, 2, 32, 32))
    assert (explained.graph_count, explained.graph_break_count) == (1, 0), explained.break_reasons
