"""torchvision's ImageNet weights: which files they are, and where they are found or fetched."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.error import URLError

import torch

from ipmodel.errors import ModelError
from shards.atomic import directory_locked
from shards.canonical import sha256_file
from shards.store.cache import cache_dir

# Version 1 of each, as in torchvision since its first releases: the papers of 2016 to 2019 began with these. A name
# ends in the first eight digits of the file's sha256.
FILES = {
    18: "resnet18-f37072fd.pth",
    34: "resnet34-b627a593.pth",
    50: "resnet50-0676ba61.pth",
    101: "resnet101-63fe2227.pth",
    152: "resnet152-394f9c45.pth",
}
BASE_URL = "https://download.pytorch.org/models"
ALL = "imagenet"  # in --init: all that the recipe needs


def weights_files(given: Sequence[str], depths: Iterable[int]) -> dict[int, Path]:
    """The files of ImageNet weights that --init names, by depth.

    given: each "resnet18=FILE"; or "imagenet" or "imagenet=DIRECTORY", which stands for all of `depths`.

    Raises: ModelError if one is none of these, or a file of "imagenet" is not there and cannot be fetched.
    """
    files: dict[int, Path] = {}
    for text in given:
        name, separator, path = text.partition("=")
        depth = name.removeprefix("resnet")
        if name == ALL and path.strip() == path and (path or not separator):
            found = {depth: weights_file(depth, directory=Path(path) if path else None) for depth in depths}
            files = {**found, **files}
        elif separator and depth.isdecimal():
            files[int(depth)] = Path(path)
        else:
            wanted = "expected resnetDEPTH=FILE, such as resnet18=resnet18.pth, or imagenet, or imagenet=DIRECTORY"
            raise ModelError(f"--init {text!r}: {wanted}")
    return files


def weights_file(depth: int, *, directory: Path | None = None) -> Path:
    """The file of torchvision's weights: from `directory`, or from the caches of this package and of PyTorch.

    If neither cache has it, it is fetched into the first.

    Raises: ModelError if it is not there and cannot be fetched, or is damaged.
    """
    name = FILES[depth]
    for folder in [directory] if directory else [cache_dir(), Path(torch.hub.get_dir()) / "checkpoints"]:
        if (path := folder / name).is_file():
            _check_digits(path)
            return path
    if directory:
        raise ModelError(f"{directory} has no {name}; get it from {BASE_URL}/{name}")
    return _fetched(cache_dir() / name)


def _check_digits(path: Path) -> None:
    """Compares the file with its name. Eight digits show damage; they are no proof of where it comes from."""
    digits = path.stem.partition("-")[2]
    try:
        found = sha256_file(path)[: len(digits)]
    except OSError as error:
        raise ModelError(f"{path}: cannot read torchvision weights: {error.strerror}") from None
    if found != digits:
        raise ModelError(f"{path}: damaged, its sha256 begins with {found}; delete it and run again")


def _fetched(path: Path) -> Path:
    """Fetches a file, published by rename. Raises: ModelError if there is no network, or what came is damaged."""
    url = f"{BASE_URL}/{path.name}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with directory_locked(path.parent):  # of the ranks of a machine, one fetches
            if not path.is_file():
                torch.hub.download_url_to_file(url, str(path), hash_prefix=path.stem.partition("-")[2], progress=False)
    except (URLError, OSError, RuntimeError) as error:
        raise ModelError(f"cannot fetch {url} ({error}); put {path.name} into {path.parent}") from None
    return path
