"""Sources that vanish, change or are replaced at any moment between the plan and the end of their extraction."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Run
from moving import extracted_from, moving_luma, write_y4m

import ipdata.steps.extract
from ipdata.errors import VideoError
from ipdata.steps.source import Opened, source_sha256
from ipdata.video import decode_source
from shards import ShardSet
from shards.verify import verify

Change = Callable[[Path], None]


def clip(path: Path, *, seed: int = 0) -> Path:
    return write_y4m(path, moving_luma(frames=4, step_px=(1, 0), seed=seed))


def vanish(path: Path) -> None:
    path.unlink()


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace(path: Path) -> None:
    clip(path.with_name("other.y4m"), seed=1).replace(path)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def before_it_is_opened(patched: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    def of(source: Path, scratch: Path) -> Opened:
        change()
        return opened_of(source, scratch)

    opened_of = Opened.of
    patched.setattr(Opened, "of", of)


def after_its_frames_are_counted(patched: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    _after(patched, decode_source, "source_facts", change)


def after_the_transcode(patched: pytest.MonkeyPatch, change: Callable[[], None]) -> None:
    _after(patched, ipdata.steps.extract, "transcode", change)


def _after(patched: pytest.MonkeyPatch, module: Any, name: str, change: Callable[[], None]) -> None:
    original = getattr(module, name)

    def then_change(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        change()
        return result

    patched.setattr(module, name, then_change)


@pytest.mark.parametrize("change", [vanish, cut, replace, empty])
@pytest.mark.parametrize("moment", [after_its_frames_are_counted, after_the_transcode])
def test_what_happens_while_it_is_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: Any, change: Change
) -> None:
    source = clip(tmp_path / "clip.y4m")
    moment(monkeypatch, lambda: change(source))
    with pytest.raises(VideoError) as caught:
        extracted_from(source, columns=("mv",))
    assert (caught.value.stage, caught.value.code) == ("source", "unreadable" if change is vanish else "changed")


@pytest.mark.parametrize(
    ("change", "code"), [(vanish, "unreadable"), (empty, "empty"), (replace, "")], ids=["vanish", "empty", "replace"]
)
def test_what_happens_before_it_is_read_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Change, code: str
) -> None:
    source = clip(tmp_path / "clip.y4m")
    before_it_is_opened(monkeypatch, lambda: change(source))
    if code:
        with pytest.raises(VideoError) as caught:
            extracted_from(source, columns=("mv",))
        assert (caught.value.stage, caught.value.code) == ("source", code)
    else:  # the record has the hash of the bytes that it was made of
        assert extracted_from(source, columns=("mv",)).sample.source_sha256 == source_sha256(source)


def test_a_link_that_is_turned_elsewhere_meanwhile_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other, link = clip(tmp_path / "1.y4m"), clip(tmp_path / "2.y4m", seed=1), tmp_path / "link.y4m"
    link.symlink_to(one)

    def turn() -> None:
        link.unlink()
        link.symlink_to(other)

    after_its_frames_are_counted(monkeypatch, turn)
    with pytest.raises(VideoError, match="not those that were read first"):
        extracted_from(link, columns=("mv",))


@pytest.mark.usefixtures("without_child")
def test_it_costs_only_itself_and_the_next_run_builds_it(
    ipdata: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "videos" / "any"
    folder.mkdir(parents=True)
    for number in range(3):
        clip(folder / f"{number}.y4m", seed=number)
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "scheduler": "none"}
    with monkeypatch.context() as patched:
        after_its_frames_are_counted(patched, lambda: (folder / "1.y4m").unlink(missing_ok=True))
        done = ipdata("build", columns="mv", recipe="small", **options)
    assert done.returncode == 3 and len(list(ShardSet(tmp_path / "set").samples())) == 2, done.stderr
    assert "any/1.y4m: unreadable (source)" in done.stdout
    clip(folder / "1.y4m", seed=1)
    done = ipdata("build", columns="mv", recipe="small", **options)
    assert done.returncode == 0 and "1 to extract" in done.stderr, done.stderr
    assert len(list(ShardSet(tmp_path / "set").samples())) == 3 and list(verify(tmp_path / "set")) == []


@pytest.mark.usefixtures("without_child")
def test_a_column_is_not_added_from_a_source_that_was_replaced_after_the_plan(
    ipdata: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "videos" / "any" / "clip.y4m"
    source.parent.mkdir(parents=True)
    clip(source)
    options = {"dataset": "folder", "source": tmp_path / "videos", "out": tmp_path / "set", "scheduler": "none"}
    assert ipdata("build", columns="mv", recipe="small", **options).returncode == 0
    before_it_is_opened(monkeypatch, lambda: replace(source))
    done = ipdata("build", columns="residual", recipe="small", **options)
    assert done.returncode == 1 and "differs from the published one in source_sha256" in done.stderr, done.stderr
    assert "(any/clip.y4m)" in done.stderr and list(verify(tmp_path / "set")) == []
