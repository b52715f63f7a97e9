"""The source videos of a synthetic set, as files, for tests that predict them."""

from pathlib import Path

from ipdata.datasets.synthetic import Synthetic, list_synthetic
from shards import ShardSet


def source_files(shard_set: ShardSet, folder: Path, *, subset: str = "test", frames: int = 14) -> list[Path]:
    """Write the videos that a subset was built from, in the set's order."""
    videos = {video.name: video for video in list_synthetic(folder, None, None, Synthetic(frames=frames)).videos}
    paths = []
    for sample in shard_set.samples(split="1", subset=subset):
        path = folder / sample.name
        path.parent.mkdir(parents=True, exist_ok=True)
        videos[sample.name].source.write(path)  # type: ignore[union-attr]  # a Synthesis
        paths.append(path)
    return paths
