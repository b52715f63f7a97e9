"""Servers that fail, lie, or serve a set which is not sound: what passes is survived, what stays is named."""

import time
from collections.abc import Callable
from pathlib import Path

import made_sets
import pytest
import serving
from serving import Served

from shards import ShardError, ShardSet, verify
from shards.layout import CARD, CROISSANT, LICENSE, MANIFEST
from shards.sharing.choice import Choice
from shards.sharing.take import take
from shards.store import pace, transport

pytestmark = pytest.mark.usefixtures("small_chunks")
ALL = Choice()


@pytest.mark.parametrize(
    "faults",
    [
        [serving.truncated, serving.reset, serving.truncated],
        [serving.unavailable] * 2,
        [serving.later(0)] * 3,
        [serving.stalled],
        [serving.corrupted],
        [serving.shortened],
    ],
    ids=["cut", "503", "429", "stalled", "flipped-bit", "short"],
)
def test_what_passes_is_survived(
    served: Served, served_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faults: list[serving.Fault]
) -> None:
    if faults == [serving.stalled]:
        monkeypatch.setattr(transport, "STALL_S", 0.5)
    served.faults["set/residual/00000.tar"] = list(faults)
    take(f"{served.url}/set", tmp_path / "out", Choice(columns=["residual"]))
    assert list(verify(tmp_path / "out")) == []


def test_the_server_s_wish_to_wait_is_heard(ranged: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ranged.faults["set/mv/00000.tar"] = [serving.later(1)]
    with caplog.at_level("WARNING", logger="shards"):
        take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["mv"]))
    assert "(HTTP 429); check the URL, the network and the server; next attempt in 1 s" in caplog.text


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (serving.page, "the server answers with a web page instead of the file"),
        (serving.redirecting("http://elsewhere.example/set"), "redirects to http://elsewhere.example"),
        (serving.redirecting("file:///etc/passwd"), "redirects to file://, which is another place"),
        (serving.corrupted, "do not have the manifest's sha256"),
        (serving.forbidden, "access is refused"),
        (serving.truncated, "cannot be fetched|bytes arrived"),
    ],
    ids=["page", "other-host", "file", "flipped-bit", "forbidden", "cut"],
)
def test_what_stays_wrong_is_refused_by_name(
    served: Served, tmp_path: Path, fault: serving.Fault, message: str
) -> None:
    served.faults["set/mv/00001.tar"] = [fault] * 999
    with pytest.raises(ShardError, match=f"set/mv/00001.tar: .*({message})"):
        take(f"{served.url}/set", tmp_path / "out", Choice(columns=["mv"]))
    assert not (tmp_path / "out" / "mv" / "00001.tar").exists() and not (tmp_path / "out" / MANIFEST).exists()


def test_a_redirect_within_the_host_is_followed(ranged: Served, tmp_path: Path) -> None:
    ranged.faults["set/mv/00001.tar"] = [serving.redirecting("/copy/mv/00001.tar")]
    take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["mv"]))
    assert "copy/mv/00001.tar" in ranged.asked and list(verify(tmp_path / "out")) == []


def test_the_body_of_a_redirect_is_not_read(ranged: Served, tmp_path: Path) -> None:
    path, most_bytes = "set/mv/00001.tar", 256 << 20
    ranged.faults[path] = [serving.redirecting_at_length("/copy/mv/00001.tar", most_bytes=most_bytes)]
    take(f"{ranged.url}/set", tmp_path / "out", Choice(columns=["mv"]))
    assert ranged.sent_bytes[path] < most_bytes / 4 and list(verify(tmp_path / "out")) == []


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        (serving.head_dripped, r"the head of the server's answer was not complete in 1 s"),
        (serving.never_begun, r"the head of the server's answer was not complete in 1 s"),
        (serving.contents_dripped, r"the server sent hardly a byte in 1 s"),
        (serving.chunks_dripped, r"the server sent hardly a byte in 1 s"),
        (serving.never_ended, r"the server sent hardly a byte in 1 s"),
    ],
)
def test_an_answer_without_end_is_given_up(
    ranged: Served, monkeypatch: pytest.MonkeyPatch, fault: serving.Fault, message: str
) -> None:
    monkeypatch.setattr(transport, "STALL_S", 1.0)
    begun_s, attempts = time.monotonic(), 1 + len(transport.WAITS_S)
    ranged.faults[f"set/{MANIFEST}"] = [fault] * attempts
    with pytest.raises(ShardError, match=f"set/{MANIFEST}: cannot be fetched .{message}"):
        ShardSet(f"{ranged.url}/set")
    assert time.monotonic() - begun_s < serving.STALLED_S / 2
    assert not ranged.faults[f"set/{MANIFEST}"]
    assert ShardSet(f"{ranged.url}/set").manifest  # the connection that was given up disturbs no other


def test_a_slow_server_is_waited_for(ranged: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that keeps the pace may take far longer than the time after which a stalled one is given up."""
    monkeypatch.setattr(transport, "STALL_S", 1.0)
    monkeypatch.setattr(pace, "LEAST_BYTES", 400)
    ranged.faults[f"set/{MANIFEST}"] = [serving.paced(2000)]
    begun_s = time.monotonic()
    ShardSet(f"{ranged.url}/set")
    assert time.monotonic() - begun_s > 2 * transport.STALL_S and ranged.asked == [f"set/{MANIFEST}"]


def test_a_set_that_changes_while_it_is_pulled_is_noticed(
    served_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half-pushed set: the manifest is the old one, a tar is already of another set."""
    made_sets.make_set(tmp_path / "served" / "set", columns=["mv"])
    with serving.serving(tmp_path / "served", ranges=True) as server:
        data = bytearray((tmp_path / "served/set/mv/00000.tar").read_bytes())
        data[-2000] ^= 1
        (tmp_path / "served/set/mv/00000.tar").write_bytes(data)
        with pytest.raises(ShardError, match=r"set/mv/00000\.tar: the bytes that arrived do not have the manifest's"):
            take(f"{server.url}/set", tmp_path / "out", ALL)
        assert list((tmp_path / "out" / "mv").glob("00000.tar")) == []
        problems = list(verify(f"{server.url}/set"))
        assert len(problems) == 1 and problems[0].startswith(f"{server.url}/set/mv/00000.tar: the bytes that arrived")


Edit = Callable[[list[str]], list[str]]


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda lines: lines[::-1], r"keys-[0-9a-f]{8}\.txt: .* stands after .*, out of order"),
        (lambda lines: [lines[0].replace(" 0 ", " 1 "), *lines[1:]], "is not what the key index says"),
        (lambda lines: [lines[0].replace("train", "test"), *lines[1:]], "is not what the key index says"),
        (lambda lines: [lines[0].replace(" 0000", " 0007"), *lines[1:]], "in shard 0007., which the manifest lacks"),
        (lambda lines: [f"a{lines[0]}", *lines[1:]], "which the key index says is there"),
    ],
    ids=["unsorted", "class", "subset", "shard", "key"],
)
def test_a_key_index_that_is_not_that_of_the_records_is_refused(tmp_path: Path, edit: Edit, message: str) -> None:
    """The manifest's hash fits the key index, as a wrong writer would see to."""
    set_dir = tmp_path / "set"
    made_sets.make_set(set_dir, columns=["mv"])
    made_sets.edit_key_index(set_dir, edit)
    with pytest.raises(ShardError, match=message):
        take(set_dir, tmp_path / "out", ALL)
    assert not (tmp_path / "out" / MANIFEST).exists()


def test_counts_that_are_not_those_of_the_records_are_refused(tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])

    def swap(manifest: dict) -> None:
        counts = manifest["splits"]["split1"]
        counts["train"], counts["unused"] = counts["unused"], counts["train"]

    made_sets.edit_manifest(tmp_path / "set", swap)
    with pytest.raises(ShardError, match=r"the manifest counts .*, the records give"):
        take(tmp_path / "set", tmp_path / "out", ALL)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"a": NaN}', "[" * 10**6, '{"a":' * 900 + "1" + "}" * 900], ids=lambda t: t[:9]
)
def test_a_bad_croissant_is_not_taken_along(tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    sound = (tmp_path / "set" / CROISSANT).read_bytes()
    (tmp_path / "set" / CROISSANT).write_text(text)
    take(tmp_path / "set", tmp_path / "out", ALL)
    assert "croissant.json: " in caplog.text and "the set is taken without it" in caplog.text
    assert (tmp_path / "out" / CROISSANT).read_bytes() == sound and list(verify(tmp_path / "out")) == []
    take(tmp_path / "out", tmp_path / "next", Choice(columns=["mv"]))


def test_a_bad_croissant_in_the_target_stays_and_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / CROISSANT).write_text("{mine")
    take(tmp_path / "set", tmp_path / "out", ALL)
    assert list(verify(tmp_path / "out")) == [] and (tmp_path / "out" / CROISSANT).read_text() == "{mine"
    assert "the set is complete without it, `ipshards card` writes it later" in caplog.text


@pytest.mark.parametrize(
    "fault", [serving.unavailable, serving.redirecting("http://elsewhere.example/README.md"), serving.truncated]
)
def test_a_card_that_does_not_arrive_fails_nothing(
    ranged: Served, tmp_path: Path, fault: serving.Fault, caplog: pytest.LogCaptureFixture
) -> None:
    ranged.faults[f"set/{CARD}"] = [fault] * 9
    take(f"{ranged.url}/set", tmp_path / "out", ALL)
    assert list(verify(tmp_path / "out")) == [] and (tmp_path / "out" / CARD).is_file()
    assert f"set/{CARD}: " in caplog.text


def test_a_card_that_is_too_large_fails_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made_sets.make_set(tmp_path / "served" / "set", columns=["mv"])
    (tmp_path / "served" / "set" / CARD).write_text("much" * (2 << 20))
    with serving.serving(tmp_path / "served") as server:
        take(f"{server.url}/set", tmp_path / "out", ALL)
    assert list(verify(tmp_path / "out")) == []
    assert "README.md: is larger than 4194304 bytes" in caplog.text


def test_the_target_s_licence_stays(tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    (tmp_path / "set" / LICENSE).write_text("theirs")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / LICENSE).write_text("mine")
    for name, licence in (("out", "mine"), ("new", "theirs")):
        take(tmp_path / "set", tmp_path / name, ALL)
        assert (tmp_path / name / LICENSE).read_text() == licence
