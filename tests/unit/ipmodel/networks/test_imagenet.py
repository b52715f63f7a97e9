"""Which files `--init` names, and where they are found or fetched."""

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from files import write

from ipmodel.errors import ModelError
from ipmodel.networks import imagenet

CONTENT = "weights"
NAME = f"resnet18-{hashlib.sha256(CONTENT.encode()).hexdigest()[:8]}.pth"


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setitem(imagenet.FILES, 18, NAME)
    monkeypatch.setattr(imagenet, "BASE_URL", "http://127.0.0.1:9/models")  # nobody listens there


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The directory that a server on the loopback has."""
    folder = tmp_path / "served"
    folder.mkdir()
    serving = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(folder)))
    threading.Thread(target=serving.serve_forever, daemon=True).start()
    monkeypatch.setattr(imagenet, "BASE_URL", f"http://127.0.0.1:{serving.server_port}")
    yield folder
    serving.shutdown()
    serving.server_close()


def test_the_names_are_torchvisions() -> None:
    """Each name has the depth and eight digits, as torchvision.models states them."""
    names = [name for depth, name in imagenet.FILES.items() if depth != 18]
    expected = ["resnet34-b627a593.pth", "resnet50-0676ba61.pth", "resnet101-63fe2227.pth", "resnet152-394f9c45.pth"]
    assert names == expected


@pytest.mark.parametrize("place", ["cache", "torch/hub/checkpoints"])
def test_a_file_in_a_cache_is_taken(tmp_path: Path, place: str) -> None:
    path = write(tmp_path / place / NAME, CONTENT)
    assert imagenet.weights_files(["imagenet"], [18]) == {18: path}


def test_a_directory_can_be_named_and_files_go_first(tmp_path: Path) -> None:
    path = write(tmp_path / "mine" / NAME, CONTENT)
    assert imagenet.weights_files([f"imagenet={path.parent}"], [18]) == {18: path}
    both = imagenet.weights_files(["resnet18=other.pth", f"imagenet={path.parent}"], [18])
    assert both == {18: Path("other.pth")}
    with pytest.raises(ModelError, match=rf"nowhere has no {NAME}; get it from http"):
        imagenet.weights_files([f"imagenet={tmp_path / 'nowhere'}"], [18])


def test_a_file_with_other_digits_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "cache" / NAME, "other weights")
    with pytest.raises(ModelError, match=rf"{NAME}: damaged, its sha256 begins with [0-9a-f]{{8}}; delete it"):
        imagenet.weights_files(["imagenet"], [18])


def test_a_missing_file_is_fetched_once(tmp_path: Path, server: Path) -> None:
    write(server / NAME, CONTENT)
    path = imagenet.weights_files(["imagenet"], [18])[18]
    assert path == tmp_path / "cache" / NAME and path.read_text() == CONTENT
    (server / NAME).unlink()
    assert imagenet.weights_files(["imagenet"], [18]) == {18: path}


def test_what_comes_damaged_is_not_kept(tmp_path: Path, server: Path) -> None:
    write(server / NAME, "cut")
    with pytest.raises(ModelError, match=rf"cannot fetch .*{NAME} \(invalid hash value.*; put {NAME} into"):
        imagenet.weights_files(["imagenet"], [18])
    assert list((tmp_path / "cache").iterdir()) == []


def test_without_a_network_one_line_says_which_file_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=rf"cannot fetch \S+/{NAME} \(.*refused.*\); put {NAME} into \S+/cache$"):
        imagenet.weights_files(["imagenet"], [18])


@pytest.mark.parametrize("given", ["18", "resnet18", "imagenet=", "resnetX=file", "=file"])
def test_other_texts_are_refused(given: str) -> None:
    with pytest.raises(ModelError, match=r"expected resnetDEPTH=FILE, such as .*, or imagenet, or imagenet=DIRECTORY"):
        imagenet.weights_files([given], [18])
