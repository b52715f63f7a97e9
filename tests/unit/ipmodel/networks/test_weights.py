"""Weights from 2D networks and from ImageNet."""

from pathlib import Path

import pytest
import torch

from ipmodel.data.modality import architecture_of, picture_channels
from ipmodel.errors import ModelError
from ipmodel.networks.resnet import Architecture, ResNet
from ipmodel.networks.weights import from_imagenet, inflate, lacking
from ipmodel.recipe import ModalityName, Phase


def trained_2d(depth: int = 18, channels: int = 5) -> ResNet:
    """A network whose BatchNorms have seen something."""
    torch.manual_seed(0)
    network = ResNet(Architecture(depth=depth, channels=channels, input_norm=True), 6).train()  # type: ignore[arg-type]
    for _ in range(3):
        network(torch.rand(4, channels, 2, 32, 32))
    return network.eval()


@pytest.mark.parametrize("mode", ["mean", "centre"])
@pytest.mark.parametrize("stage", ["none", "conv1", "conv3", "conv4"])
@pytest.mark.parametrize("depth", [18, 50])
def test_a_clip_that_stands_still_gives_the_2d_features(mode: str, stage: str, depth: int) -> None:
    flat = trained_2d(depth)
    deep = ResNet(Architecture(depth=depth, channels=5, last_2d_stage=stage, input_norm=True), 6).eval()  # type: ignore[arg-type]
    deep.load_state_dict(inflate(flat.state_dict(), deep, mode))  # type: ignore[arg-type]
    frame = torch.rand(2, 5, 1, 32, 32)
    still = frame.expand(-1, -1, 9, -1, -1)
    torch.testing.assert_close(deep(still).features, flat(frame).features, rtol=1e-3, atol=1e-4)


def test_networks_of_other_inputs_cannot_be_inflated() -> None:
    deep = ResNet(Architecture(depth=18, channels=2, last_2d_stage="conv3", input_norm=True), 6)
    with pytest.raises(ModelError, match="cannot be inflated"):
        inflate(trained_2d().state_dict(), deep)
    with pytest.raises(ModelError, match="only one of the networks has data_bn"):
        inflate(ResNet(Architecture(depth=18, channels=2), 6).state_dict(), deep)


def test_imagenet_weights_for_five_channels(tmp_path: Path) -> None:
    models = pytest.importorskip("torchvision", reason="its weights are what is loaded").models
    theirs = models.resnet18().state_dict()
    torch.save(theirs, tmp_path / "resnet18.pth")
    network = ResNet(Architecture(depth=18, channels=5, input_norm=True), 6)
    own_fc = network.fc.weight.clone()
    network.load_state_dict(from_imagenet(tmp_path / "resnet18.pth", network))
    for channel in range(5):
        assert torch.equal(network.conv1.weight[:, channel], theirs["conv1.weight"].mean(1))
    assert torch.equal(network.layer4[1].conv2.weight, theirs["layer4.1.conv2.weight"])
    assert torch.equal(network.fc.weight, own_fc)


@pytest.mark.parametrize(("modality", "own"), [("mr", 2), ("mv", 2), ("r", 0), ("flow", 2)])
def test_coviars_first_filters(tmp_path: Path, modality: ModalityName, own: int) -> None:
    """Channels of pictures get the RGB filters; those of MV and flow come first and keep their own."""
    published = trained_2d(channels=3).state_dict()
    torch.save(published, tmp_path / "resnet18.pth")
    network = ResNet(architecture_of(Phase(modality=modality, epochs=1, batch=1)), 6)
    pictures = picture_channels(modality)
    filters = from_imagenet(tmp_path / "resnet18.pth", network, pictures=pictures)["conv1.weight"]
    assert torch.equal(filters[:, :own], network.conv1.weight[:, :own])
    assert torch.equal(filters[:, own:], published["conv1.weight"][:, : len(pictures)])


def test_behind_a_generator_the_first_filters_are_those_of_two_channels(tmp_path: Path) -> None:
    published = trained_2d(channels=3).state_dict()
    torch.save(published, tmp_path / "resnet18.pth")
    network = ResNet(Architecture(depth=18, channels=5, input_norm=True, generator=True), 6)
    own = {key: weight.clone() for key, weight in network.state_dict().items()}
    mean = published["conv1.weight"].mean(1, keepdim=True).expand(-1, 2, -1, -1)
    for pictures, filters in ((None, mean), ([], own["conv1.weight"])):
        loaded = from_imagenet(tmp_path / "resnet18.pth", network, pictures=pictures)
        assert torch.equal(loaded["conv1.weight"], filters)
        assert torch.equal(loaded["generator.field.weight"], own["generator.field.weight"])


def test_weights_as_torchvision_published_them_first_load(tmp_path: Path) -> None:
    """In PyTorch's older file format, and from BatchNorms that did not count batches yet."""
    theirs = trained_2d(channels=3).state_dict()
    published = {key: weight for key, weight in theirs.items() if not key.endswith("num_batches_tracked")}
    assert len(published) < len(theirs)
    torch.save(published, tmp_path / "resnet18.pth", _use_new_zipfile_serialization=False)
    network = ResNet(Architecture(depth=18, channels=3), 9)
    network.load_state_dict(from_imagenet(tmp_path / "resnet18.pth", network))
    loaded = network.state_dict()
    assert all(torch.equal(loaded[key], published[key]) for key in loaded if key in published and "fc." not in key)
    assert loaded["layer4.1.bn2.num_batches_tracked"] == 0


def test_a_partial_file_gives_the_modules_that_it_has_whole(tmp_path: Path) -> None:
    theirs = trained_2d(channels=3).state_dict()
    absent = {"layer4.0.conv1.weight", "layer4.1.conv2.weight", "fc.weight", "layer3.0.bn1.num_batches_tracked"}
    torch.save({key: weight for key, weight in theirs.items() if key not in absent}, tmp_path / "resnet18.pth")
    network = ResNet(Architecture(depth=18, channels=3), 6)
    own = {key: weight.clone() for key, weight in network.state_dict().items()}
    lacked = lacking(tmp_path / "resnet18.pth", network)
    assert lacked == {"layer4": ["layer4.0.conv1.weight", "layer4.1.conv2.weight"]}
    network.load_state_dict(from_imagenet(tmp_path / "resnet18.pth", network, own=lacked))
    for key, weight in network.state_dict().items():
        begun = own if key.startswith(("layer4.", "fc.")) or key in absent else theirs
        assert torch.equal(weight, begun[key]), key
    with pytest.raises(ModelError, match=r"no weight layer4.0.conv1.weight; is it a ResNet-18\? --init-partial takes"):
        from_imagenet(tmp_path / "resnet18.pth", network)


@pytest.mark.parametrize("key", ["conv1.weight", "bn1.bias", "layer1.1.conv2.weight"])
def test_a_file_that_lacks_the_first_layers_is_refused(tmp_path: Path, key: str) -> None:
    theirs = trained_2d(channels=3).state_dict()
    del theirs[key]
    torch.save(theirs, tmp_path / "resnet18.pth")
    with pytest.raises(ModelError, match=f"no weight {key}, and at least conv1, bn1 and layer1 must be whole"):
        lacking(tmp_path / "resnet18.pth", ResNet(Architecture(depth=18, channels=3), 6))


def test_genuine_weights_without_the_last_stage(data: Path) -> None:
    """torchvision's ResNet-18 but for four convolutions of layer4."""
    path, network = data / "weights/resnet18_conv1_to_layer3.pth", ResNet(Architecture(depth=18, channels=3), 6)
    blocks = [f"layer4.{block}.conv{number}.weight" for block in (0, 1) for number in (1, 2)]
    assert lacking(path, network) == {"layer4": blocks}


def test_other_files_are_refused(tmp_path: Path) -> None:
    network = ResNet(Architecture(depth=34, channels=3), 6)
    torch.save(ResNet(Architecture(depth=18, channels=3), 6).state_dict(), tmp_path / "resnet18.pth")
    with pytest.raises(ModelError, match=r"no weight layer1.2.conv1.weight; is it a ResNet-34\?"):
        from_imagenet(tmp_path / "resnet18.pth", network)
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"conv1.weight": 3}, tmp_path / "number.pth")
    (tmp_path / "empty.pth").touch()
    torch.save(network.state_dict(), tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    (tmp_path / "cut.pth").write_bytes((tmp_path / "old.pth").read_bytes()[:5000])
    for name in ("text.pth", "absent.pth", "number.pth", "empty.pth", "cut.pth"):
        with pytest.raises(ModelError, match="cannot read torchvision weights"):
            from_imagenet(tmp_path / name, network)


@pytest.mark.parametrize(
    ("key", "wrong", "message"),
    [
        ("conv1.weight", torch.ones(64, 1, 7, 7), r"conv1.weight is \(64, 1, 7, 7\), not \(64, 3, 7, 7\)"),
        ("conv1.weight", torch.ones(64, 3, 7, 7, dtype=torch.int32), "conv1.weight is torch.int32, not torch.float32"),
        (
            "layer1.0.conv1.weight",
            torch.full((64, 64, 3, 3), torch.nan),
            "layer1.0.conv1.weight has values that are not",
        ),
    ],
)
def test_weights_that_no_network_can_begin_with_are_refused(
    tmp_path: Path, key: str, wrong: torch.Tensor, message: str
) -> None:
    state = ResNet(Architecture(depth=18, channels=3), 6).state_dict() | {key: wrong}
    torch.save(state, tmp_path / "resnet18.pth")
    with pytest.raises(ModelError, match=message):
        from_imagenet(tmp_path / "resnet18.pth", ResNet(Architecture(depth=18, channels=2, input_norm=True), 6))
