"""Each call that writes fails in turn: a command stops in one line, what it published is whole, a rerun completes it.

The errors are those of a disk or a quota that is full, of a bad disk, and of a file system that became read-only.
"""

import errno
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import made_sets
import pytest
import serving
from amounts import FIGURE, seeded, some
from breaking import failing, watched
from built_sets import SMALL, TRIAL, tree
from commands import Done, in_process

from shards import verify
from shards.layout import MANIFEST
from shards.store import transport

# A build's steps run in this process: a child of it would not know what is patched here, and forks would share it.
pytestmark = pytest.mark.usefixtures("without_child")

ERRORS = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS)
TWO_SHARDS = ["--set=synthetic.frames=2", "--limit-videos=2", "--set=shards.videos_per_shard=1"]
LARGER = [*SMALL, "--set=shards.videos_per_shard=2"]
CARD = {"README.md", "croissant.json"}  # a set is whole without them

needs_ssh_keygen = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None, reason="NO SSH-KEYGEN: signing is not broken; install OpenSSH's client"
)

Arguments = Callable[[Path], list[str]]  # of a command, for the folder of a run


@dataclass(frozen=True)
class Work:
    """A command that writes <folder>/out, and what lies in the folder before."""

    module: str
    arguments: Arguments
    before: Path | None = None  # what <folder>/out is a copy of
    grows: bool = False  # it adds to a set whose manifest stays until the new one is written
    repairs: bool = False  # what it finds is no sound set


def build(out: Path, columns: str, *more: str) -> list[str]:
    return [
        "build",
        "--dataset=synthetic",
        f"--out={out}",
        "--scheduler=none",
        f"--columns={columns}",
        *TWO_SHARDS,
        *more,
    ]


def succeeded(module: str, arguments: list[str]) -> None:
    done = in_process(module, arguments)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Work]]:
    folder = tmp_path_factory.mktemp("before")
    succeeded("ipdata.cli", build(folder / "mv", "mv"))
    succeeded("ipdata.cli", build(folder / "built", "mv,video"))
    succeeded("ipdata.cli", build(folder / "trial", "mv", *LARGER, *TRIAL))
    begun = shutil.copytree(folder / "mv", folder / "begun")  # as a build leaves it that was killed
    for name in (MANIFEST, "mv/00001.tar", ".build/receipts/00001.json"):
        (begun / name).unlink()
    succeeded("shards.cli", ["subset", str(folder / "built"), str(folder / "received"), "--columns=video"])
    scenes = made_sets.scenes(classes=2, per_class=2)
    made_sets.make_set(folder / "format_1", scenes[:2], columns=["mv", "video"], format=1)
    made_sets.make_set(folder / "made", scenes[:3], columns=["mv", "video"], per_shard=2, grouped=False)
    made_sets.make_set(folder / "other", made_sets.scenes(classes=1, per_class=3)[2:], columns=["mv", "video"])
    (folder / "keys").write_text(f"{scenes[0].key}\n{scenes[1].key}\n")
    damaged = shutil.copytree(folder / "made", folder / "damaged")
    (damaged / "mv/00000.tar").unlink()
    (damaged / "video/00001.tar").write_bytes(b"")
    if shutil.which("ssh-keygen"):
        keygen = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")]
        subprocess.run(keygen, check=True)
    succeeded("shards.cli", ["subset", str(folder / "made"), str(folder / "part"), "--columns=mv"])
    with serving.serving(folder, ranges=True) as server:
        url, made, other = f"{server.url}/made", str(folder / "made"), str(folder / "other")
        yield {
            "build": Work("ipdata.cli", lambda at: build(at / "out", "mv")),
            "rerun": Work("ipdata.cli", lambda at: build(at / "out", "mv"), begun),
            "added column": Work("ipdata.cli", lambda at: build(at / "out", "mv,video"), folder / "mv"),
            "grown": Work("ipdata.cli", lambda at: build(at / "out", "mv", *LARGER), folder / "trial"),
            "derive": Work(
                "ipdata.cli",
                lambda at: ["derive", str(at / "out"), "--columns=mv", "--scheduler=none"],
                folder / "received",
                grows=True,
            ),
            "upgrade": Work("shards.cli", lambda at: ["upgrade", str(folder / "format_1"), str(at / "out")]),
            "pull": Work("shards.cli", lambda at: ["pull", url, str(at / "out")]),
            "pull of samples": Work(
                "shards.cli", lambda at: ["pull", url, str(at / "out"), f"--keys={folder / 'keys'}"]
            ),
            "pull into a set": Work(
                "shards.cli", lambda at: ["pull", url, str(at / "out")], folder / "part", grows=True
            ),
            "repair": Work(
                "shards.cli",
                lambda at: ["verify", str(at / "out"), f"--repair={url}"],
                folder / "damaged",
                repairs=True,
            ),
            "prove": Work("ipdata.cli", lambda at: ["prove", str(at / "out"), "--videos=1"], folder / "built"),
            "card": Work("shards.cli", lambda at: ["card", str(at / "out"), "--license=mit"], folder / "made"),
            "sign": Work(
                "shards.cli",
                lambda at: ["sign", str(at / "out"), f"--key={folder / 'key'}", "--identity=lab"],
                folder / "made",
            ),
            "merge": Work("shards.cli", lambda at: ["merge", made, other, str(at / "out")]),
            "push": Work("shards.cli", lambda at: ["push", made, f"file://{at / 'out'}"]),
        }


@dataclass
class Run:
    """One folder in which a command is run, broken and run again."""

    work: Work
    folder: Path

    def __post_init__(self) -> None:
        (self.folder / "tmp").mkdir(parents=True)
        if self.work.before is not None:
            shutil.copytree(self.work.before, self.out)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def run(self) -> Done:
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr("tempfile.tempdir", str(self.folder / "tmp"))
            patched.setenv("IPTSN_CACHE", str(self.folder / "cache"))
            patched.setattr(transport, "WAITS_S", (0.01, 0.01, 0.01))
            return in_process(self.work.module, self.work.arguments(self.folder))

    def published(self) -> dict[str, str]:
        """Path -> sha256 of what lies under names of the set, which no name with a dot is."""
        files = tree(self.out) if self.out.is_dir() else {}
        return {name: sha256 for name, sha256 in files.items() if not name.startswith(".")}

    def check_published(self, expected: dict[str, str]) -> None:
        """Every file is one of before or one of the whole set; and what has a manifest is a sound set.

        The card may still be that of the set which is copied: the new one replaces it.
        """
        before = {} if self.work.before is None else tree(self.work.before)
        for name, sha256 in self.published().items():
            assert name in CARD or sha256 in (before.get(name), expected.get(name)), name
        if (self.out / MANIFEST).is_file() and not self.work.repairs:
            problems = list(verify(self.out))
            assert all(self.work.grows and "the manifest does not name this file" in problem for problem in problems), (
                problems
            )

    def left_over(self) -> list[str]:
        """What only an unfinished command may leave."""
        unfinished = (".taking", ".deriving", ".build/tmp", ".build/replaced")
        work = [path for name in unfinished for path in (self.out / name).glob("**/*")]
        work += self.out.glob(".signing-*")
        return [str(path) for path in (*work, *(self.folder / "tmp").iterdir())]


@pytest.mark.parametrize(
    "name",
    [
        *("build", "rerun", "added column", "grown", "derive", "upgrade"),
        *("pull", "pull of samples", "pull into a set", "repair", "merge", "push", "prove", "card"),
        pytest.param("sign", marks=needs_ssh_keygen),
    ],
)
def test_a_call_that_fails_stops_the_command_and_a_rerun_completes_it(
    works: dict[str, Work], name: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    work, broken = works[name], 0
    whole = Run(work, tmp_path / "whole")
    with watched(whole.folder) as calls:
        assert whole.run().returncode == 0
    expected = whole.published()
    for number in some(range(len(calls)), 8, purpose=name):
        drawn = seeded(f"{name}{number}")
        error, onwards = drawn.choice(ERRORS), drawn.choice((False, True))
        run = Run(work, tmp_path / str(number))
        with watched(run.folder, failing(number, error, onwards=onwards)):
            done = run.run()
        also = " and from then on" if onwards else ""
        at = f"call {number} of {len(calls)}{also}, {calls[number]}, {os.strerror(error)}: {done.stderr}"
        check_ending(done, run, at)
        run.check_published(expected)
        again = run.run()
        assert again.returncode == 0, f"{at}\n{again.stderr}"
        assert run.published() == expected, at
        assert run.left_over() == [], at
        shutil.rmtree(run.folder)
        broken += 1
    record_property(FIGURE, f"{broken} failing calls in {name}, of {len(calls)} calls")


def check_ending(done: Done, run: Run, at: str) -> None:
    """It was refused in one line that names a place, or it passed without what failed."""
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr, at
    if done.returncode == 1:
        last = done.stderr.splitlines()[-1]
        assert last.startswith("error: ") and str(run.folder) in last, at
    else:
        assert (run.out / MANIFEST).is_file(), at
