"""Unpacking: the layout that adapters take, what is kept, counts, and which tool is taken."""

import shlex
import shutil
import zipfile
from pathlib import Path

import pytest
import rar
from conftest import Run
from files import write

from ipdata.archives.unpack import Request, Unpacked, unpack
from ipdata.datasets import dataset_of
from ipdata.datasets.archives import Counts
from ipdata.errors import BuildError

CLIPS = {"wave/a.avi": b"a" * 3000, "wave/b.avi": b"b", "clap/a.avi": b"c"}
HMDB51_LISTS = {f"{c}_test_split{n}.txt": b"a.avi 1 \n" for c in ("clap", "wave") for n in (1, 2, 3)}
UCF101_LISTS = {
    "classInd.txt": b"1 clap\n2 wave\n",
    **{f"{kind}list0{n}.txt": b"" for kind in ("train", "test") for n in (1, 2, 3)},
}


def hmdb51(folder: Path, clips: dict[str, bytes] = CLIPS) -> tuple[Path, Path]:
    """Archives as HMDB51's: a RAR with a RAR for each class, and a RAR of lists."""
    classes = sorted({name.partition("/")[0] for name in clips})
    inner = [
        rar.Entry(f"{c}.rar", rar.rar4([rar.folder(c), *(rar.Entry(n, clips[n]) for n in clips if n.startswith(c))]))
        for c in classes
    ]
    lists = [rar.Entry(f"testTrainMulti_7030_splits/{name}", text) for name, text in HMDB51_LISTS.items()]
    return (
        rar.write_rar(folder / "hmdb51_org.rar", inner),
        rar.write_rar(folder / "test_train_splits.rar", [rar.folder("testTrainMulti_7030_splits"), *lists]),
    )


def ucf101(folder: Path) -> tuple[Path, Path]:
    """Archives as UCF101's: a RAR of all videos, and a ZIP of lists."""
    clips = [rar.Entry(f"UCF-101/{name}", content) for name, content in CLIPS.items()]
    with zipfile.ZipFile(folder / "lists.zip", "w", zipfile.ZIP_DEFLATED) as lists:
        for name, text in UCF101_LISTS.items():
            lists.writestr(f"ucfTrainTestlist/{name}", text)
        lists.writestr("__MACOSX/ucfTrainTestlist/._classInd.txt", b"x")
    return rar.write_rar(folder / "UCF101.rar", clips), folder / "lists.zip"


def unpacked(dataset: str, archives: tuple[Path, ...], out: Path, **limits: int) -> Unpacked:
    return unpack(Request(dataset=dataset_of(dataset), archives=archives, out=out, **limits))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


HMDB51_TREE = {**CLIPS, **{f"testTrainMulti_7030_splits/{name}": text for name, text in HMDB51_LISTS.items()}}


def test_hmdb51_lies_as_its_adapter_takes_it(tmp_path: Path, rar_tool: str) -> None:
    done = unpacked("hmdb51", hmdb51(tmp_path), tmp_path / "out")
    assert tree(tmp_path / "out") == HMDB51_TREE, rar_tool
    assert (done.files, done.kept, done.left_out, done.there) == (9, 0, [], Counts(2, 3, 6))
    assert len(dataset_of("hmdb51").listing(tmp_path / "out", None, None, None).videos) == 2


def test_ucf101_lies_as_its_adapter_takes_it(tmp_path: Path, rar_tool: str) -> None:
    done = unpacked("ucf101", ucf101(tmp_path), tmp_path / "out")
    assert tree(tmp_path / "out") == {
        **{f"UCF-101/{name}": content for name, content in CLIPS.items()},
        **{f"ucfTrainTestlist/{name}": text for name, text in UCF101_LISTS.items()},
    }, rar_tool
    assert [Path(name).name for name in done.left_out] == ["._classInd.txt"]
    assert done.there == Counts(2, 3, 7)


@pytest.mark.usefixtures("any_rar_tool")
class TestWithSomeTool:
    """What is the same with every tool."""

    def test_what_is_there_is_kept_and_what_is_gone_comes_again(self, tmp_path: Path) -> None:
        archives, out = hmdb51(tmp_path), tmp_path / "out"
        unpacked("hmdb51", archives, out)
        before = {name: (out / name).stat() for name in HMDB51_TREE}
        (out / "wave/b.avi").unlink()
        again = unpacked("hmdb51", archives, out)
        assert (again.files, again.kept) == (1, 8) and tree(out) == HMDB51_TREE
        same = [(out / n).stat().st_ino == s.st_ino for n, s in before.items() if n != "wave/b.avi"]
        assert all(same)

    def test_a_file_of_another_size_is_not_replaced(self, tmp_path: Path) -> None:
        write(tmp_path / "out/wave/a.avi", b"mine")
        with pytest.raises(BuildError, match=r"wave/a\.avi: is not the file of 3000 bytes .* move it away"):
            unpacked("hmdb51", hmdb51(tmp_path), tmp_path / "out")
        assert tree(tmp_path / "out") == {"wave/a.avi": b"mine"}

    def test_archives_of_classes_can_be_given_one_by_one(self, tmp_path: Path) -> None:
        path = rar.write_rar(tmp_path / "wave.rar", [rar.Entry("wave/a.avi", b"a")])
        assert unpacked("hmdb51", (path,), tmp_path / "out").there == Counts(1, 1, 0)

    def test_an_archive_given_twice_is_refused(self, tmp_path: Path) -> None:
        path = rar.write_rar(tmp_path / "wave.rar", [rar.Entry("wave/a.avi", b"a")])
        with pytest.raises(BuildError, match=r"two members of the archives go to wave/a\.avi"):
            unpacked("hmdb51", (path, path), tmp_path / "out")

    def test_a_tool_that_fails_is_followed_by_the_next(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        real = next(path for name in ("7z", "unar", "bsdtar") if (path := shutil.which(name)))
        folder = tmp_path / "tools"
        bad = write(folder / "bsdtar", b"#!/bin/sh\nprintf aaaa\necho 'no RAR here' >&2\nexit 1\n")
        bad.chmod(0o755)
        (folder / (Path(real).name if not real.endswith("bsdtar") else "unar")).symlink_to(real)
        if real.endswith("bsdtar"):
            pytest.skip("NO RAR TOOL: only bsdtar is installed, and this test needs a second one")
        monkeypatch.setenv("PATH", str(folder))
        unpacked("hmdb51", hmdb51(tmp_path), tmp_path / "out")
        assert tree(tmp_path / "out") == HMDB51_TREE
        assert "bsdtar cannot unpack it: ended with status 1: no RAR here" in caplog.text

    def test_counts_that_differ_are_a_warning_with_numbers(self, ipdata: Run, tmp_path: Path) -> None:
        done = ipdata("unpack", *hmdb51(tmp_path), dataset="hmdb51", out=tmp_path / "out")
        assert done.returncode == 0, done.stderr
        assert "there now: 2 of 51 classes, 3 of 6766 videos, 6 of 153 lists" in done.stdout
        missing = "49 classes are missing, 6763 videos are missing, 147 lists are missing"
        assert f"warning: this is not the whole dataset: {missing}" in done.stderr
        assert f"next: ipdata build --dataset hmdb51 --source {tmp_path}/out" in done.stderr


def test_without_a_tool_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BuildError, match="needs bsdtar, unar or 7z, and none is installed; install unar"):
        unpacked("hmdb51", hmdb51(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_zip_needs_no_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert unpacked("ucf101", ucf101(tmp_path)[1:], tmp_path / "out").there == Counts(0, 0, 7)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (("readme.txt", "notes/b.md"), r"only other files \(2\), such as \S+/a\.zip/readme\.txt"),
        ((), "and no other file"),
    ],
    ids=["other files", "empty"],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_archives_that_hold_nothing_of_the_dataset_are_refused(
    tmp_path: Path, names: tuple[str, ...], what: str, is_there: bool
) -> None:
    if is_there:
        write(tmp_path / "out/wave/a.avi", b"mine")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in names:
            archive.writestr(name, b"x")
    cure = r"give the archives of the dataset's site: hmdb51_org\.rar, test_train_splits\.rar$"
    with pytest.raises(BuildError, match=rf"a\.zip: no video and no list of the dataset, {what}; {cure}"):
        unpacked("hmdb51", (tmp_path / "a.zip",), tmp_path / "out")
    assert tree(tmp_path / "out") == ({"wave/a.avi": b"mine"} if is_there else {})
    assert (tmp_path / "out").exists() is is_there


@pytest.mark.parametrize(
    ("asked", "name", "theirs"),
    [
        ("hmdb51", "UCF-101/Archery/v_Archery_g01_c01.avi", "ucf101"),
        ("hmdb51", "ucfTrainTestlist/testlist01.txt", "ucf101"),
        ("ucf101", "sit/TheBoondockSaints_sit_u_nm_np10_ba_med_0.avi", "hmdb51"),
        ("ucf101", "testTrainMulti_7030_splits/sit_test_split1.txt", "hmdb51"),
    ],
)
def test_the_archive_of_another_dataset_is_refused(tmp_path: Path, asked: str, name: str, theirs: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("wave/a.avi", b"x")
        archive.writestr(name, b"x")
    with pytest.raises(BuildError, match=rf"a\.zip: {name} is a name of the dataset {theirs}; give --dataset {theirs}"):
        unpacked(asked, (tmp_path / "a.zip",), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_all_official_names_have_their_datasets_form(data: Path) -> None:
    for dataset, lists in (("hmdb51", "*.txt"), ("ucf101", "t*list0?.txt")):
        archives = dataset_of(dataset).archives
        assert archives is not None
        folder = data / "splits" / dataset
        names = {Path(line.split()[0]).name for path in folder.glob(lists) for line in path.read_text().splitlines()}
        names |= {path.name for path in folder.iterdir()}
        assert len(names) == archives.videos + archives.lists
        assert all(archives.form.fullmatch(name) for name in names)


@pytest.mark.parametrize(
    ("content", "problem"), [(b"<!DOCTYPE html>", 'it begins with "<!DOCTYPE html>"'), (b"", "it is empty")]
)
def test_a_page_that_was_saved_as_an_archive_is_named(tmp_path: Path, content: bytes, problem: str) -> None:
    path = write(tmp_path / "hmdb51_org.rar", content)
    with pytest.raises(BuildError, match=f"is no RAR or ZIP archive, {problem}; download it again"):
        unpacked("hmdb51", (path,), tmp_path / "out")


def test_a_dataset_without_archives_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="the dataset folder has no archives"):
        unpacked("folder", (tmp_path,), tmp_path / "out")


@pytest.mark.parametrize("command", ["build", "plan"])
def test_build_and_plan_name_the_command_and_it_works(
    ipdata: Run, tmp_path: Path, command: str, any_rar_tool: None
) -> None:
    source = tmp_path / "the source"
    source.mkdir()
    hmdb51(source)
    write(source / "UCF101.rar")  # of another dataset
    where = {"scheduler": "none"} if command == "build" else {}
    refused = ipdata(command, dataset="hmdb51", source=source, out=tmp_path / "set", **where)
    named = (
        f"ipdata unpack --dataset hmdb51 '{source}/hmdb51_org.rar' '{source}/test_train_splits.rar' --out '{source}'"
    )
    assert refused.returncode == 1 and f"  {named}\n" in refused.stderr, refused.stderr
    assert "no suffix of a video" not in refused.stderr
    assert ipdata(*shlex.split(named)[1:]).returncode == 0
    assert len(dataset_of("hmdb51").listing(source, None, None, None).videos) == 2


def test_videos_without_lists_name_the_archive_of_lists(tmp_path: Path) -> None:
    write(tmp_path / "wave/a.avi")
    write(tmp_path / "test_train_splits.rar")
    with pytest.raises(BuildError, match=r"ipdata unpack --dataset hmdb51 \S+test_train_splits\.rar --out"):
        dataset_of("hmdb51").listing(tmp_path, None, None, None)


def test_many_archives_become_a_pattern(tmp_path: Path) -> None:
    for name in "abcd":
        write(tmp_path / f"{name}.rar")
    with pytest.raises(
        BuildError, match=rf"a\.rar, b\.rar, c\.rar and 1 more(?s:.*){tmp_path}/\*\.rar --out {tmp_path}"
    ):
        dataset_of("hmdb51").listing(tmp_path, None, None, None)
