"""A drawn sample of a set is extracted again, from its column video or from the sources, and every byte is compared."""

from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from made_sets import edit_manifest
from msgspec.structs import replace
from received_sets import Payloads, build, copied, forged, received, with_other_end, with_tools
from serving import serving

from ipdata.prove import SourceFiles
from ipdata.video.synthesis import Synthesis
from shards import ShardSet
from shards.canonical import sha256_value
from shards.columns import Payload
from shards.schema import Sample

COLUMNS = ("iframe", "mv", "residual", "flow")
LABELS = "labels    not proved: classes and subsets are what the set says"


def pictures(videos: int) -> str:
    return f"video     decodes to the pictures of its record in {videos} of {videos}"


@pytest.fixture
def set_dir(built: Path, tmp_path: Path) -> Path:
    return copied(built, tmp_path / "set")


def test_a_sound_set_is_proved(ipdata: Run, set_dir: Path) -> None:
    done = ipdata("prove", set_dir, seed=3)
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert said[0] == "6 of 6 videos extracted again from its column video; seed 3"
    assert sorted(said[1].removeprefix("keys      ").split(", ")) == sorted(s.key for s in ShardSet(set_dir).samples())
    assert said[2:] == [pictures(6), *(f"{what:<9} equal in 6 of 6" for what in COLUMNS), LABELS]
    some = ipdata("prove", set_dir, videos=2, columns="mv,flow").stdout.splitlines()
    assert some[2:] == [pictures(2), *(f"{what:<9} equal in 2 of 2" for what in ("mv", "flow")), LABELS]


def test_the_draw_is_another_each_time_and_can_be_repeated(ipdata: Run, set_dir: Path) -> None:
    said = [ipdata("prove", set_dir, videos=1, columns="mv").stdout.splitlines() for _ in range(2)]
    seeds = [lines[0].rpartition("seed ")[2] for lines in said]
    assert seeds[0] != seeds[1]
    again = ipdata("prove", set_dir, videos=1, columns="mv", seed=seeds[0])
    assert again.stdout.splitlines() == said[0]


def test_a_set_of_format_1_is_proved(ipdata: Run, tmp_path: Path) -> None:
    build(tmp_path / "set", format=1, columns="mv,residual,video")
    done = ipdata("prove", tmp_path / "set")
    assert done.returncode == 0 and "residual  equal in 6 of 6" in done.stdout, done.stderr


def test_a_set_at_a_url_is_proved_by_what_it_needs_alone(ipdata: Run, set_dir: Path) -> None:
    with serving(set_dir, ranges=True) as server:
        done = ipdata("prove", server.url, videos=1, columns="mv")
    assert done.returncode == 0 and "mv        equal in 1 of 1" in done.stdout, done.stderr
    tars = {path for path in server.sent_bytes if path.endswith(".tar")}
    assert {path.partition("/")[0] for path in tars} == {"mv", "video"} and len(tars) == 2


@pytest.mark.parametrize("column", COLUMNS)
def test_a_forged_payload_is_found(ipdata: Run, set_dir: Path, column: str) -> None:
    """Every hash of the set agrees with the forged bytes; only extracting again can tell."""
    key = forged(set_dir, lambda sample, made: (sample, {**made, column: with_other_end(made[column])}))
    done = ipdata("prove", set_dir)
    assert done.returncode == 3, done.stderr
    lines = done.stdout.splitlines()
    at = lines.index(f"{column:<9} DIFFERS in 1 of 6")
    assert lines[at + 1].startswith(f"  {key}: ")
    assert sum("DIFFERS" in line for line in lines) == 1


def test_a_record_of_other_pictures_is_found(ipdata: Run, set_dir: Path) -> None:
    key = forged(set_dir, lambda sample, made: (replace(sample, width=sample.width + 16), made))
    done = ipdata("prove", set_dir, columns="mv", seed=0)
    assert done.returncode == 3, done.stderr
    assert f"video     DIFFERS from its record in 1 of 6\n  {key}: has pictures of " in done.stdout


def test_a_video_that_is_cut_elsewhere_is_found(ipdata: Run, set_dir: Path) -> None:
    def cut(sample: Sample, made: Payloads) -> tuple[Sample, Payloads]:
        first, second, *rest = made["video"].frames
        frames = [first, second + 1, *rest]
        return sample, {**made, "video": replace_frames(made["video"], frames)}

    key = forged(set_dir, cut)
    done = ipdata("prove", set_dir, columns="mv")
    assert done.returncode == 3, done.stderr
    assert f"{key}: equal bytes, but the index cuts them into other frames" in done.stdout


def replace_frames(payload: Payload, frames: list[int]) -> Payload:
    return Payload(data=payload.data, frames=frames, header=payload.header)


def test_a_video_proves_nothing_of_itself(ipdata: Run, set_dir: Path, tmp_path: Path) -> None:
    only = received(set_dir, tmp_path / "only", "video")
    done = ipdata("prove", only)
    assert done.returncode == 1 and "has only the column video" in done.stderr and "give --source" in done.stderr
    done = ipdata("prove", set_dir, columns="video")
    assert done.returncode == 1 and "give --source" in done.stderr


def test_a_recipe_that_lacks_settings_is_named(ipdata: Run, set_dir: Path) -> None:
    def edit(value: dict[str, Any]) -> None:
        recipe = {name: own for name, own in value["columns"]["video"]["recipe"].items() if name != "limit_frames"}
        value["columns"]["video"] |= {"recipe": recipe, "recipe_sha256": sha256_value(recipe)}

    edit_manifest(set_dir, edit)
    for done in (ipdata("prove", set_dir, columns="mv"), ipdata("derive", set_dir, columns="flow", scheduler="none")):
        assert done.returncode == 1 and "column video does not state limit_frames" in done.stderr, done.stderr


def test_what_differs_in_tools_is_said(ipdata: Run, set_dir: Path) -> None:
    forged(set_dir, lambda sample, made: (sample, {**made, "flow": with_other_end(made["flow"])}))
    with_tools(set_dir, numba="0.50.0")
    done = ipdata("prove", set_dir, columns="mv,flow")
    assert done.returncode == 3
    assert "flow      DIFFERS in 1 of 6; tools: numba 0.50.0 there, " in done.stdout
    assert "mv        equal in 6 of 6\n" in done.stdout


def test_who_is_drawn_depends_on_the_seed_alone(ipdata: Run, set_dir: Path, tmp_path: Path) -> None:
    key = forged(set_dir, lambda sample, made: (sample, {**made, "mv": with_other_end(made["mv"])}))
    found = [ipdata("prove", set_dir, videos=1, seed=seed, columns="mv").returncode for seed in range(12)]
    again = [ipdata("prove", set_dir, videos=1, seed=seed, columns="mv").returncode for seed in range(12)]
    assert found == again and set(found) == {0, 3}, key


def test_what_cannot_be_compared_is_refused(ipdata: Run, built: Path, tmp_path: Path) -> None:
    without = received(built, tmp_path / "without", "mv")
    done = ipdata("prove", without)
    assert done.returncode == 1 and "has no column video" in done.stderr
    done = ipdata("prove", built, columns="depth")
    assert done.returncode == 1 and "has no column depth; it has iframe, mv" in done.stderr
    done = ipdata("prove", built, source=tmp_path / "none")
    assert done.returncode == 1 and "is no directory" in done.stderr


@pytest.fixture
def from_files(ipdata: Run, tmp_path: Path) -> Path:
    """A set of three files, in class folders of `videos`."""
    for class_name in ("move_left", "warm", "zoom_in"):
        (tmp_path / "videos" / class_name).mkdir(parents=True)
        made = Synthesis(class_name=class_name, index=0, frames=4, width=64, height=48, seed=0)
        made.write(tmp_path / "videos" / class_name / "a clip.y4m")
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "built", "columns": "mv,video"}
    done = ipdata("build", "--set=transcode.width=64", "--set=transcode.height=48", scheduler="none", **options)
    assert done.returncode == 0, done.stderr
    return copied(tmp_path / "built", tmp_path / "set")


def test_it_is_proved_from_the_sources(ipdata: Run, from_files: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    done = ipdata("prove", from_files, source=videos)
    assert done.returncode == 0 and "video     equal in 3 of 3" in done.stdout, done.stderr
    (videos / "elsewhere").mkdir()
    (videos / "warm" / "a clip.y4m").rename(videos / "elsewhere" / "a clip.y4m")  # found by its hash
    assert ipdata("prove", from_files, source=videos).returncode == 0
    data = bytearray((videos / "zoom_in" / "a clip.y4m").read_bytes())
    data[-1] ^= 255
    (videos / "zoom_in" / "a clip.y4m").write_bytes(data)
    done = ipdata("prove", from_files, source=videos)
    assert done.returncode == 3 and "no file of its name with the source_sha256 of its record" in done.stdout
    assert "record    DIFFERS in 1 of 3" in done.stdout and "mv        equal in 2 of 2" in done.stdout


def test_a_source_that_is_missing_is_no_difference(ipdata: Run, from_files: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    (videos / "zoom_in" / "a clip.y4m").unlink()
    done = ipdata("prove", from_files, source=videos)
    assert done.returncode == 0, done.stdout
    assert "no source for 1 of 3\n" in done.stdout and "mv        equal in 2 of 2" in done.stdout
    done = ipdata("prove", from_files, source=videos / "zoom_in")
    assert done.returncode == 1 and "has none of the 3 drawn videos" in done.stderr


def test_a_forged_label_is_found(ipdata: Run, from_files: Path, tmp_path: Path) -> None:
    classes = ShardSet(from_files).manifest.classes

    def relabel(sample: Sample, made: Payloads) -> tuple[Sample, Payloads]:
        other = (sample.class_id + 1) % len(classes)
        return replace(sample, class_id=other, class_name=classes[other]), made

    key = forged(from_files, relabel)
    done = ipdata("prove", from_files, source=tmp_path / "videos")
    assert done.returncode == 3 and f"  {key}: other key than its class and name give\n" in done.stdout
    assert LABELS in done.stdout


def test_a_forged_record_is_found(ipdata: Run, from_files: Path, tmp_path: Path) -> None:
    key = forged(from_files, lambda sample, made: (replace(sample, source_frame_rate="30/1"), made))
    done = ipdata("prove", from_files, source=tmp_path / "videos")
    assert done.returncode == 3
    assert f"record    DIFFERS in 1 of 3\n  {key}: other source_frame_rate\n" in done.stdout


def test_no_path_is_made_of_a_name_in_a_record(from_files: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.y4m").write_bytes((tmp_path / "videos" / "warm" / "a clip.y4m").read_bytes())
    sample = next(s for s in ShardSet(from_files).samples() if s.class_name == "warm")
    found = SourceFiles(tmp_path / "videos" / "move_left").find(replace(sample, name="../../secret.y4m"))
    assert found == "--source has no file of its name"
