"""A network's file says what it is; what is torn, foreign or newer is refused by name."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace
from safetensors.torch import load, save

from ipmodel.errors import ModelError
from ipmodel.runs.checkpoint import FINAL, save_network
from ipmodel.runs.description import Description
from ipmodel.runs.network_file import KEY, read_network_file


@pytest.fixture
def path(trained: Path, tmp_path: Path) -> Path:
    """A copy of the P-stream's file, without its sha256 beside it."""
    copy = tmp_path / "moved.safetensors"
    copy.write_bytes((trained / "run" / "split-1" / "p_stream" / FINAL).read_bytes())
    return copy


def rewritten(path: Path, text: str | None) -> None:
    weights = load(path.read_bytes())
    path.write_bytes(save(weights, metadata=None if text is None else {KEY: text}))


def text_in(path: Path) -> str:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    assert list(header["__metadata__"]) == [KEY]
    return str(header["__metadata__"][KEY])


def test_a_file_says_all_that_its_network_needs(trained: Path, path: Path) -> None:
    description, network = read_network_file(path)
    assert description.classes[:3] == ["cool", "move_left", "move_right"]
    assert (description.modality, description.phase, description.columns) == ("mr", "p_stream", ("mv", "residual"))
    assert (description.input.width, description.input.height, description.input.segments) == (48, 48, 3)
    assert description.data.columns["residual"].recipe["residual"]["definition"] == "previous"
    manifest = json.loads((trained / "set" / "manifest.json").read_text())
    assert description.data.manifest_sha256 == manifest["sha256"]
    assert description.training["seed"] == 0 and len(description.training["recipe_sha256"]) == 64
    assert network.classes == len(description.classes) and not network.training
    assert str(trained) not in path.read_bytes().decode("latin-1")


def test_a_description_is_canonical_json(path: Path) -> None:
    text = text_in(path)
    assert Description.from_json(text.encode(), where="text").to_json().decode() == text


@pytest.mark.parametrize("kept", [0, 4, 8, 100, 5000, -1])
def test_a_torn_file_is_refused_by_name(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError, match=r"moved\.safetensors: is (torn|no network)"):
        read_network_file(path)


def test_a_flipped_weight_is_refused_though_no_hash_lies_beside(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-4] ^= 1
    path.write_bytes(data)
    with pytest.raises(ModelError, match="its weights do not have the sha256 that it states"):
        read_network_file(path)


def test_a_foreign_file_is_refused(path: Path) -> None:
    rewritten(path, None)
    with pytest.raises(ModelError, match=r"moved\.safetensors: has no description .*`ipmodel package RUN"):
        read_network_file(path)
    path.write_text("weights")
    with pytest.raises(ModelError, match="is torn, or no network's file"):
        read_network_file(path)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"format": 2}, "has format 2, this version reads 1; update the package"),
        ({"modality": "sound"}, "unknown modality 'sound'; update"),
        ({"wavelets": 1}, "unknown field `wavelets`"),
        ({"classes": []}, "needs class names"),
        ({"classes": ["a", "b"]}, "its weights are not those of the network that it describes"),
    ],
)
def test_a_newer_or_wrong_description_is_refused(path: Path, changed: dict[str, object], said: str) -> None:
    rewritten(path, json.dumps({**json.loads(text_in(path)), **changed}))
    with pytest.raises(ModelError, match=said):
        read_network_file(path)


@pytest.mark.parametrize("key", ["depth", "last_2d_stage", "channels", "time_padding"])
def test_an_unknown_architecture_is_refused(path: Path, key: str) -> None:
    description, _ = read_network_file(path)
    values = description.to_value()
    values["architecture"][key] = 7
    rewritten(path, json.dumps(values))
    with pytest.raises(ModelError, match="unknown architecture"):
        read_network_file(path)


def test_a_file_of_an_earlier_version_is_read_unless_its_conv3_halves_the_frames(path: Path) -> None:
    description, _ = read_network_file(path)
    values = description.to_value()
    del values["architecture"]["time_padding"]
    rewritten(path, json.dumps(values))
    assert read_network_file(path)[1].architecture.time_padding == "replicate"
    values["architecture"]["last_2d_stage"] = "conv2"
    rewritten(path, json.dumps(values))
    with pytest.raises(ModelError, match="it is of an earlier version, whose 3D conv3 halved the number of frames"):
        read_network_file(path)


def test_the_hash_of_the_weights_is_set_when_they_are_saved(path: Path, tmp_path: Path) -> None:
    description, network = read_network_file(path)
    save_network(tmp_path / FINAL, network.state_dict(), replace(description, weights_sha256="0" * 64))
    again, _ = read_network_file(tmp_path / FINAL)
    assert again == description
    assert (tmp_path / FINAL).read_bytes() == path.read_bytes()
