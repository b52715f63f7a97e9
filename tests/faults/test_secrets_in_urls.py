"""Passwords and tokens in URLs open sets, and appear nowhere: not in errors, warnings, progress or records."""

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import made_sets
import pytest
import serving
from conftest import Run
from serving import Served
from training import ipmodel, train_options

from ipmodel.runs.checkpoint import FINAL
from shards import ShardError, ShardSet, verify
from shards.layout import CARD
from shards.sharing.choice import Choice
from shards.sharing.diff import diff
from shards.sharing.sign import check_signature
from shards.sharing.take import take
from shards.store import transport
from shards.store.objects import not_received
from shards.store.sources import source_of
from shards.store.stores import store_of
from shards.store.urls import shown, without_secrets

PASSWORD = "s3cret/word"
LOGIN = "lab:s3cret%2Fword@"
TOKEN = "sv=2024-11-04&sig=AbC%2Bdef%3D"


@pytest.fixture(params=["login", "query"])
def secret(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, secret: str) -> Iterator[Served]:
    monkeypatch.setenv("IPTSN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.01, 0.01))
    made_sets.make_set(tmp_path / "served" / "set", columns=["mv"])
    with serving.serving(tmp_path / "served", ranges=True) as server:
        if secret == "login":
            server.login = f"lab:{PASSWORD}"
        else:
            server.query = TOKEN
        yield server


def url_of(served: Served, name: str = "set") -> str:
    """The URL that opens a set of the server."""
    if served.login:
        return f"{served.url.replace('://', f'://{LOGIN}')}/{name}"
    return f"{served.url}/{name}?{TOKEN}"


def check_secret(text: str) -> None:
    for part in (PASSWORD, "s3cret", "sig=", "AbC"):
        assert part not in text


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://lab:secret@host:8080/a/set", "https://host:8080/a/set"),
        ("https://t0ken@host/set", "https://host/set"),
        ("https://host/set?X-Amz-Signature=abc&X-Amz-Credential=def#part", "https://host/set"),
        ("https://storage.googleapis.com/b/set?X-Goog-Signature=abc", "https://storage.googleapis.com/b/set"),
        ("https://lab.blob.core.windows.net/c/set?sv=1&sig=abc%3D", "https://lab.blob.core.windows.net/c/set"),
        ("s3://key:secret@bucket/set", "s3://bucket/set"),
        ("ftp://lab:secret@host/set", "ftp://host/set"),
        ("simplecache::ftp://lab:secret@host/set", "simplecache::ftp://host/set"),
        ("abfs://container@account.dfs.core.windows.net/set", "abfs://container@account.dfs.core.windows.net/set"),
        ("hf://datasets/lab/set@refs/pr/1", "hf://datasets/lab/set@refs/pr/1"),
        ("file:///sets/a?b@c", "file:///sets/a?b@c"),
        ("/sets/a@b?c", "/sets/a@b?c"),
        ("sets", "sets"),
    ],
)
def test_the_name_of_a_url_has_no_secrets(url: str, name: str) -> None:
    assert shown(url) == name


def test_what_other_packages_say_is_cleaned() -> None:
    url = f"https://{LOGIN}host/set?{TOKEN}"
    said = f"no route to {url}: lab:{PASSWORD}@host, sig AbC+def= or AbC%2Bdef%3D, {TOKEN}"
    cleaned = without_secrets(said, url)
    check_secret(cleaned)
    assert cleaned == "no route to https://***host/set?***: ***host, sig *** or ***, ***"
    check_secret(str(not_received(PermissionError(said), url=url)))
    check_secret(str(not_received(RuntimeError(said), url=url)))


def test_a_set_is_opened_with_its_secret_and_named_without(served: Served) -> None:
    shard_set = ShardSet(url_of(served))
    sample = next(iter(shard_set))
    assert shard_set.read(sample.key, "mv").shape[0] == sample.picture_types.count("P")
    assert shard_set.location == f"{served.url}/set"
    check_secret(f"{shard_set!r} {shard_set._repr_html_()}")
    assert ShardSet(shard_set.address).manifest == shard_set.manifest
    copied = pickle.loads(pickle.dumps(source_of(url_of(served))))  # as loader processes get it
    assert copied.location == shard_set.location and copied.address == shard_set.address


def test_what_lies_beside_a_set_is_taken_with_the_secret(served: Served, tmp_path: Path) -> None:
    (served.directory / "set" / CARD).write_text("By people.\n")
    take(url_of(served), tmp_path / "out", Choice())
    assert "By people." in (tmp_path / "out" / CARD).read_text()
    assert list(verify(url_of(served))) == [] and list(verify(tmp_path / "out")) == []


def test_errors_and_warnings_have_no_secrets(
    served: Served, tmp_path: Path, caplog: pytest.LogCaptureFixture, ipshards: Run
) -> None:
    for other in ("nothing", "set"):
        served.faults["set/mv/00000.tar"] = [serving.unavailable, serving.corrupted] * 9
        served.faults["set/croissant.json"] = [serving.page] * 9
        url, allowed = url_of(served, other), tmp_path / "allowed"
        allowed.write_text("")
        for command in (
            ("verify", url),
            ("verify", url, "--columns=flow"),
            ("verify", tmp_path, "--repair", url),
            ("info", url),
            ("info", url, "--keys"),
            ("show", url, "nobody"),
            ("pull", url, tmp_path / "out"),
            ("pull", url, tmp_path / "out", "--classes=none"),
            ("push", served.directory / "set", url),
            ("push", url, url),
            ("merge", url, url, tmp_path / "merged"),
            ("upgrade", url, tmp_path / "new"),
            ("diff", url, served.directory / "set"),
            ("card", url),
            ("verify", url, f"--allowed-signers={allowed}", "--identity=me"),
        ):
            done = ipshards(*command)
            check_secret(done.stdout + done.stderr)
            assert "Traceback" not in done.stderr
    check_secret(caplog.text)


@pytest.mark.parametrize("url", [f"http://{LOGIN}127.0.0.1:9/set", f"http://127.0.0.1:9/set?{TOKEN}"])
def test_a_server_that_does_not_answer_is_named_without_secrets(
    url: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The message of the HTTP package has the path and the query in it."""
    monkeypatch.setattr(transport, "WAITS_S", (0.01, 0.01, 0.01))
    with pytest.raises(ShardError, match=r"^http://127\.0\.0\.1:9/set/manifest\.json: cannot be fetched") as refused:
        ShardSet(url)
    check_secret(f"{refused.value} {caplog.text}")


@pytest.mark.parametrize("url", ["nothing://lab:s3cret@host/set?sig=AbC", "https://lab:s3cret@[host/set"])
def test_a_url_that_nothing_opens_is_named_without_secrets(url: str) -> None:
    for use in (source_of, store_of, ShardSet, lambda url: diff(url, url, Path()), lambda url: list(verify(url))):
        with pytest.raises(ShardError) as refused:
            use(url)
        check_secret(str(refused.value))
    with pytest.raises(ShardError) as refused:
        check_signature(url, allowed_signers=Path(__file__), identity="me")
    check_secret(str(refused.value))


def test_a_run_keeps_no_secret_and_goes_on(trained: Path, tmp_path: Path, served: Served) -> None:
    shutil.copytree(trained / "set", served.directory / "trained")
    url, run = url_of(served, "trained"), tmp_path / "run"
    options = train_options(url, run, trained / "quick.toml")
    for phase in ("of_2d", "i_stream"):
        done = ipmodel(*options, f"--phase={phase}")
        assert done.returncode == 0, done.stderr
        check_secret(done.stdout + done.stderr)
    for path in run.rglob("*"):
        if path.is_file() and path.name != FINAL:  # weights may look like anything
            check_secret(path.read_bytes().decode("latin-1"))
    assert f'"shards": "{served.url}/trained"' in (run / "run.json").read_text()
    only = "--set=streams={i='i_stream',of='of_2d'}"
    refused = ipmodel("eval", run, only, "--set=fusions={}")
    assert refused.returncode == 1 and "which no record keeps, give its whole URL with --shards" in refused.stderr
    done = ipmodel("eval", run, only, "--set=fusions={}", f"--shards={url}")
    assert done.returncode == 0, done.stderr
    check_secret(done.stdout + done.stderr)
