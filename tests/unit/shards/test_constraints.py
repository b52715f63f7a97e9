"""What pip gets of a set that was received: known packages with plain versions, and nothing else outside comments."""

from collections.abc import Callable
from pathlib import Path

import made_sets
import pytest
from conftest import Run

from shards.constraints import constraints, how_to_install, requirement
from shards.manifest import Manifest

WithTools = Callable[[dict[str, str], dict[str, str]], Manifest]  # of mv, of flow

TOOLS = {"av": "16.0.1", "ffmpeg": "7.0.2-static", "libavcodec": "62.11.100", "opencv": "4.12.0", "numba": "0.62.1"}


@pytest.fixture
def manifest_with(tmp_path: Path) -> WithTools:
    made = made_sets.make_set(tmp_path / "set", made_sets.scenes(classes=1, per_class=2), columns=("mv", "flow"))

    def with_tools(mv: dict[str, str], flow: dict[str, str]) -> Manifest:
        def edit(value: dict) -> None:
            value["columns"]["mv"]["tools"], value["columns"]["flow"]["tools"] = mv, flow

        made_sets.edit_manifest(tmp_path / "set", edit)
        return Manifest.read(tmp_path / "set")

    assert made.columns
    return with_tools


def lines_for_pip(text: str) -> list[str]:
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_tools_become_constraints(manifest_with: WithTools, tmp_path: Path, ipshards: Run) -> None:
    manifest = manifest_with({"av": "16.0.1", "ffmpeg": "7.0.2-static", "libavcodec": "62.11.100"}, TOOLS)
    text = constraints(manifest)
    assert lines_for_pip(text) == ["av==16.0.1", "numba==0.62.1", "opencv-contrib-python-headless==4.12.0.*"]
    assert "# ffmpeg 7.0.2-static (an executable; name one with --ffmpeg): made mv, flow" in text
    assert "# libavcodec 62.11.100 (it comes with PyAV, the package av): made mv, flow" in text
    done = ipshards("info", tmp_path / "set", constraints=True)
    assert done.returncode == 0 and done.stdout == text
    assert ipshards("info", tmp_path / "set", "--keys", constraints=True).returncode == 2


def test_several_versions_of_one_tool_are_a_choice_for_people(manifest_with: WithTools) -> None:
    text = constraints(manifest_with({"numba": "0.61.0"}, {"numba": "0.62.1", "av": "16.0.1"}))
    assert lines_for_pip(text) == ["av==16.0.1"]
    assert "# one of several versions: numba==0.61.0: made mv\n" in text
    assert "# one of several versions: numba==0.62.1: made flow\n" in text


HOSTILE = [
    ("av", "1.0\n--index-url=http://evil"),
    ("av", "1.0 ; --extra-index-url http://evil"),
    ("av", "1.0 --hash=sha256:00"),
    ("av", "*"),
    ("av", ">=1"),
    ("av", ""),
    ("av", "1" * 5000),
    ("av", "1.0\r-e ."),
    ("av", "1.0\u2028requests"),
    ("av", "1.0\\"),
    ("av", "$(id)"),
    ("numba", "none"),
    ("evil-package", "1.0"),
    ("av\nevil-package", "1.0"),
    ("AV", "1.0"),
    ("-r /etc/passwd\n", "1.0"),
    ("\x1b]0;title\x07", "\x9b31m"),
]


@pytest.mark.parametrize(("tool", "version"), HOSTILE)
def test_nothing_of_a_received_file_is_printed_as_it_is(manifest_with: WithTools, tool: str, version: str) -> None:
    text = constraints(manifest_with({tool: version}, {"opencv": "5.0.0"}))
    assert lines_for_pip(text) == ["opencv-contrib-python-headless==5.0.0.*"]
    assert text.isascii() and text.replace("\n", "").isprintable() and len(text) < 600
    assert not any(line.endswith("\\") for line in text.splitlines())
    assert requirement(tool, version) is None
    assert "\n" not in how_to_install({tool: version}) and "\x1b" not in how_to_install({tool: version})


@pytest.mark.parametrize(
    "version", ["1", "1.2.3", "5.0.0rc1", "1.0.post2", "2.1.dev7", "0.30.0+cu12", "1.0a1.post2.dev3"]
)
def test_versions_of_pep_440_are_taken(version: str) -> None:
    assert requirement("numba", version) == f"numba=={version}"


def test_a_message_says_what_to_install() -> None:
    assert how_to_install(TOOLS) == (
        "`pip install av==16.0.1 numba==0.62.1 'opencv-contrib-python-headless==4.12.0.*'`; "
        "ffmpeg 7.0.2-static (an executable; name one with --ffmpeg); "
        "libavcodec 62.11.100 (it comes with PyAV, the package av)"
    )
