"""Sets on the Hugging Face hub: readers stay at one commit, and a push makes few commits.

The real hub was not tried. A small server on the loopback speaks the part of its API that huggingface_hub uses here.
Large files go over LFS in these tests; the real hub takes them over xet.
"""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import CompletedProcess

import hubs
import made_sets
import pytest
from built_sets import tree

from shards import ShardSet
from shards.layout import MANIFEST
from shards.sharing.choice import Choice
from shards.sharing.take import take

COMMAND = "import sys; from shards.cli import main; main(sys.argv[1:])"
FOLDER_URL = f"{hubs.URL}/sets/made"


@pytest.fixture(scope="module")
def made_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("made") / "set"
    made_sets.make_set(directory)
    return directory


@pytest.fixture
def hub() -> Iterator[hubs.Hub]:
    with hubs.hub() as server:
        yield server


def ipshards(hub: hubs.Hub, home: Path, *words: object) -> CompletedProcess[str]:
    return hub.python(home, COMMAND, *words)


def done(run: CompletedProcess[str]) -> str:
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.parametrize("url", [hubs.URL, FOLDER_URL])
def test_what_is_pushed_is_pulled_byte_for_byte(hub: hubs.Hub, made_dir: Path, tmp_path: Path, url: str) -> None:
    """The first push of a set, in one commit; and a second one, which finds nothing to do."""
    pushed = done(ipshards(hub, tmp_path, "push", made_dir, url))
    assert pushed.startswith(f"{url}: {len(ShardSet(made_dir).manifest.all_files())} files sent, ")
    assert len(hub.commits) == 2
    assert done(ipshards(hub, tmp_path, "pull", url, tmp_path / "out")).startswith(f"{tmp_path / 'out'}: 9 samples")
    assert tree(tmp_path / "out") == tree(made_dir)
    again = ipshards(hub, tmp_path, "push", made_dir, url)
    assert " 0 files sent, " in done(again) and again.stderr.count("\n") == 1
    assert len(hub.commits) == 2


CARD = """
import json, sys
from huggingface_hub import DatasetCard

card = DatasetCard.load(sys.argv[1])
print(json.dumps([card.data.to_dict(), card.text.strip()]))
"""


def test_the_hub_s_own_reader_finds_the_card(hub: hubs.Hub, made_dir: Path, tmp_path: Path) -> None:
    done(ipshards(hub, tmp_path, "push", made_dir, hubs.URL))
    facts, text = json.loads(done(hub.python(tmp_path, CARD, hubs.REPO)))
    assert facts["license"] == "unknown" and facts["size_categories"] == ["n<1K"]
    assert facts["configs"][0].keys() >= {"config_name", "data_files"} and "video-classification" in str(facts)
    assert text == (made_dir / "README.md").read_text("utf-8").split("---", 2)[2].strip()


BUILT = """
import sys
from pathlib import Path
from shards import ShardSet
from shards.sharing.early import EarlyPush
from shards.sharing.progress import MovedBytes

whole, url, notes = sys.argv[1:]
for _ in range(2):
    there = EarlyPush(Path(whole), url, Path(notes))
    there.begin()
    for shard in ShardSet(whole).manifest.shards:
        there.check(shard.files)
        there.send(shard.files)
    there.finish(MovedBytes())
"""


def test_what_a_build_sends_comes_in_one_commit_at_its_end(hub: hubs.Hub, made_dir: Path, tmp_path: Path) -> None:
    done(hub.python(tmp_path, BUILT, made_dir, hubs.URL, tmp_path / "notes"))
    assert len(hub.commits) == 2
    done(ipshards(hub, tmp_path, "pull", hubs.URL, tmp_path / "out"))
    assert tree(tmp_path / "out") == tree(made_dir)


READ_ON = """
import sys
from shards import ShardSet
from shards.sharing.choice import Choice
from shards.sharing.push import push
from shards.sharing.take import take

whole, part, url, out = sys.argv[1:]
push(whole, url)
reader = ShardSet(url)
push(part, url, replace_sha256=reader.manifest.sha256)
take(reader.location, out, Choice())
near = ShardSet(whole)
for sample in reader.samples():
    assert reader.read_bytes(sample.key, "video") == near.read_bytes(sample.key, "video")
assert ShardSet(url).manifest == ShardSet(part).manifest
print(reader.location)
"""


def test_a_reader_stays_at_the_commit_that_it_opened(hub: hubs.Hub, made_dir: Path, tmp_path: Path) -> None:
    """A new push replaces the set by a part of it, so nearly every file that the reader needs is gone, or another."""
    take(made_dir, tmp_path / "part", Choice(classes=["class a"], columns=["mv"]))
    run = hub.python(tmp_path, READ_ON, made_dir, tmp_path / "part", hubs.URL, tmp_path / "out")
    old, new = list(hub.commits)[1:]
    assert done(run).strip() == f"{hubs.URL}@{old}"
    assert tree(tmp_path / "out") == tree(made_dir)
    assert {*hub.commits[new]} == {".gitattributes", *tree(tmp_path / "part")}, "what was replaced went in one commit"


SMALL_COMMITS = """
import sys
from shards.store import hub, hub_store, transport

hub.LARGE_BYTES = 10_000  # some of the tars
hub_store.COMMIT_FILES = 10
transport.WAITS_S = (0.01, 0.02, 0.03)
from shards.cli import main

main(sys.argv[1:])
"""


def test_large_sets_take_several_commits_and_the_manifest_comes_with_the_last(
    hub: hubs.Hub, made_dir: Path, tmp_path: Path
) -> None:
    first = ShardSet(made_dir).manifest.shards[0]
    keys = frozenset(sample.key for sample in list(ShardSet(made_dir).samples())[: first.samples])
    take(made_dir, tmp_path / "part", Choice(keys=keys))
    done(ipshards(hub, tmp_path, "push", tmp_path / "part", hubs.URL))
    before = hub.commits[hub.main]
    done(hub.python(tmp_path, SMALL_COMMITS, "push", made_dir, hubs.URL))
    sent = tree(made_dir).keys() - tree(tmp_path / "part").keys()
    *between, last = list(hub.commits.values())[2:]
    assert len(between) == len(sent) // 10 > 1
    for commit in between:
        assert {name: commit[name] for name in before} == before, "until the last commit, the old set is whole"
    assert {*last} == {".gitattributes", *tree(made_dir)} and not {*before} <= {*last}, "the old key index is gone"
    assert last[MANIFEST] == (made_dir / MANIFEST).read_bytes()


def test_of_two_pushes_at_once_the_second_is_refused(hub: hubs.Hub, made_dir: Path, tmp_path: Path) -> None:
    """Both extend the same set. The other push comes whole while the last commit of the first is under way."""
    done(ipshards(hub, tmp_path, "push", made_dir, hubs.URL, "--columns=mv"))
    other: list[CompletedProcess[str]] = []
    hub.before_commit = lambda: other.append(ipshards(hub, tmp_path, "push", made_dir, hubs.URL, "--columns=mv,flow"))
    late = ipshards(hub, tmp_path, "push", made_dir, hubs.URL, "--columns=mv,video")
    assert [run.returncode for run in other] == [0], other[0].stderr
    assert late.returncode == 1 and "another push has changed the set meanwhile" in late.stderr
    assert len(hub.commits) == 3 and not [name for name in hub.commits[hub.main] if name.startswith("video/")]
    assert [column for column in ("mv", "flow") if f"{column}/00000.tar" in hub.commits[hub.main]] == ["mv", "flow"]
    assert done(ipshards(hub, tmp_path, "verify", hubs.URL)).startswith("sound: 9 samples")


def test_a_push_that_was_killed_is_completed_by_the_same_command(hub: hubs.Hub, made_dir: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SMALL_COMMITS, "push", str(made_dir), hubs.URL]
    with subprocess.Popen(command, env=hub.environment(tmp_path), stderr=subprocess.DEVNULL) as push:

        def wait_for_the_third() -> None:
            hub.before_commit = push.kill if len(hub.commits) == 3 else wait_for_the_third

        hub.before_commit = wait_for_the_third
    assert push.returncode == -signal.SIGKILL
    there = len(hub.commits[hub.main]) - 1
    assert there >= 20 and MANIFEST not in hub.commits[hub.main]
    again = done(ipshards(hub, tmp_path, "push", made_dir, hubs.URL))
    assert f"{len(ShardSet(made_dir).manifest.all_files()) - there} files sent, " in again
    assert {*hub.commits[hub.main]} == {".gitattributes", *tree(made_dir)}


def test_a_commit_that_failed_is_tried_again(hub: hubs.Hub, made_dir: Path, tmp_path: Path) -> None:
    def fail() -> None:
        raise ConnectionError

    hub.before_commit = fail
    hub.handle_error = lambda *_: None  # type: ignore[method-assign]
    run = hub.python(tmp_path, SMALL_COMMITS, "push", made_dir, hubs.URL)
    assert "next attempt in" in run.stderr
    done(run)
    assert {*hub.commits[hub.main]} == {".gitattributes", *tree(made_dir)}


REFUSED = {
    "hf://datasets/lab/other": "the hub has no such repository, or not for us; check the name; if it is private",
    f"{hubs.URL}@v2": "the repository has no revision v2; check the part after the @",
    "hf://lab/set": "is no repository of data sets; write it as hf://datasets/USER/REPOSITORY",
}
VERIFY_AND_PUSH = """
import json, sys
from commands import in_process

for url in sys.argv[2:]:
    for words in (["verify", url], ["push", sys.argv[1], url]):
        done = in_process("shards.cli", words)
        print(json.dumps([done.returncode, done.stderr]))
"""


def test_what_is_not_there_is_named(hub: hubs.Hub, made_dir: Path, tmp_path: Path) -> None:
    lines = done(hub.python(tmp_path, VERIFY_AND_PUSH, made_dir, *REFUSED)).splitlines()
    for line, url in zip(lines, [url for url in REFUSED for _ in range(2)], strict=True):
        status, said = json.loads(line)
        assert status == 1 and said.startswith(f"error: {url}: {REFUSED[url]}") and said.count("\n") == 1, said


def test_without_a_token_a_private_set_is_not_there(
    hub: hubs.Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "token", "another")
    run = ipshards(hub, tmp_path, "verify", hubs.URL)
    assert run.returncode == 1 and "log in with `hf auth login` or set $HF_TOKEN" in run.stderr


def test_a_repository_that_ignores_files_is_refused(hub: hubs.Hub, made_dir: Path, tmp_path: Path) -> None:
    hub.add({".gitignore": b"*.tar\n"})
    run = ipshards(hub, tmp_path, "push", made_dir, hubs.URL)
    assert run.returncode == 1 and "the repository has a .gitignore" in run.stderr


def test_what_is_no_set_says_so(hub: hubs.Hub, tmp_path: Path) -> None:
    run = ipshards(hub, tmp_path, "verify", hubs.URL)
    assert run.returncode == 1 and f"{hubs.URL}@{hub.main}/{MANIFEST}: not found there" in run.stderr
