"""The bytes of each column, as recorded for its algorithm: if they change, `ColumnBuild.algorithm` must be raised.

The source, tests/golden/clip.m4v, is a synthetic rotation of 14 frames, 96x72 px. Flow of the backends opencv and cuda
is not here: its bytes depend on the machine.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import pytest

from ipdata.columns.registry import column_build_of
from ipdata.datasets.base import Video
from ipdata.recipe import load_recipe
from ipdata.steps.extract import Extracted, VideoTask, run_steps
from ipdata.video.tools import tools_here

CLIP = Path(__file__).parents[1] / "golden" / "clip.m4v"
RECIPE = ("transcode.width=80", "transcode.height=60")  # 16 does not divide the height
TOOLS = {  # that the bytes were recorded with
    "av": "18.1.0",
    "ffmpeg": "n9.0.2-17-g2a571b6068-20260930",
    "libavcodec": "62.28.102",
    "numba": "0.68.1",
    "opencv": "5.0.0",
}


@dataclass(frozen=True)
class Golden:
    """What a column's payload was. Add an entry for a new algorithm; never change the entry of an old one."""

    column: str
    algorithm: int
    sha256: str
    overrides: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "-".join([self.column, *(text.partition("=")[2] for text in self.overrides), str(self.algorithm)])


GOLDEN = [
    Golden("iframe", 1, "3a30ad34d0fb7307f8c4e01c9f29e8c7f0393feb2f11f92e417904bd340318e2"),
    Golden("mv", 1, "f358c2d0dce1f8b10659f2353ef277000c097691d253262508b9707c5f5c2d50"),
    Golden(
        "residual",
        1,
        "a860c47b762c221479a4d07854dddd71753e0d7ff98c7112c522259a8ee6a439",
        ("residual.definition=previous",),
    ),
    Golden(
        "residual",
        1,
        "2009f1db5135ea1a576f2f6eb3f382840e882de175b0bacf8f4572388c5d5ea0",
        ("residual.definition=accumulated",),
    ),
    Golden(
        "residual",
        1,
        "98af7c339db388f3d1ec75c8a9212aef04c2922a680801cdebc80f6c59fb0eeb",
        ("residual.definition=codec",),
    ),
    Golden("flow", 1, "d4ada2d93ca0d004f81c43c88e44ec9d9ce0822968bf3d534b5b95c7ddd26ccb", ("flow.backend=numba",)),
    Golden("video", 1, "96fb4505e19545841259e920ce95ccebd3748a498b7b8dcdac85edfc33866621"),
]


@pytest.mark.parametrize("golden", GOLDEN, ids=str)
def test_a_column_has_the_bytes_that_its_algorithm_promises(golden: Golden, tmp_path: Path) -> None:
    algorithm = column_build_of(golden.column).algorithm
    if golden.algorithm != algorithm:
        pytest.skip(f"GOLDEN {golden.column}: this version does not make algorithm {golden.algorithm}")
    recipe, here = load_recipe("default", [*RECIPE, *golden.overrides]), tools_here()
    needed = recipe.tools_of(golden.column, TOOLS, format=2)
    other = {tool: here[tool] for tool, version in needed.items() if here[tool] != version}
    if other:
        pytest.skip(f"GOLDEN {golden.column}: NOT COMPARED, its bytes were recorded with {needed}, here is {other}")
    video = Video(name=CLIP.name, source=CLIP, class_name="any", class_id=0, subsets={"split1": "train"})
    task = VideoTask(
        key="clip-00000000", video=video, recipe=recipe, columns=(golden.column,), tools=here, payload_dir=tmp_path
    )
    outcome = run_steps(task)
    assert isinstance(outcome, Extracted), outcome
    found = hashlib.sha256(outcome.payloads[golden.column].data).hexdigest()
    cure = f"raise ColumnBuild.algorithm of {golden.column} or find what changed"
    assert found == golden.sha256, f"algorithm {algorithm} of {golden.column} makes other bytes; {cure}"


def test_the_algorithm_of_each_column_is_recorded() -> None:
    recorded = {(golden.column, golden.algorithm) for golden in GOLDEN}
    for column in ("iframe", "mv", "residual", "flow", "video"):
        algorithm = column_build_of(column).algorithm
        assert (column, algorithm) in recorded, f"record the bytes of algorithm {algorithm} of {column} in GOLDEN"


def test_a_changed_byte_asks_for_another_algorithm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The test above fails if the code changes what it makes."""
    import ipdata.video.decode as decode

    golden = next(golden for golden in GOLDEN if golden.column == "mv")
    grid_of = decode._mv_grid
    monkeypatch.setattr(decode, "_mv_grid", lambda frame: grid_of(frame) + 1)
    with pytest.raises(
        (AssertionError, pytest.skip.Exception), match=r"raise ColumnBuild.algorithm of mv|NOT COMPARED"
    ):
        test_a_column_has_the_bytes_that_its_algorithm_promises(golden, tmp_path)
