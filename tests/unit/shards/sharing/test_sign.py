"""Signatures by OpenSSH itself: only the manifest that the named signer signed is accepted."""

import shutil
import subprocess
from pathlib import Path

import made_sets
import pytest
from conftest import Run
from serving import serving

from shards import ShardError
from shards.sharing.sign import MAX_SIGNATURE_BYTES, check_signature, sign
from shards.verify import verify

pytestmark = pytest.mark.skipif(
    shutil.which("ssh-keygen") is None,
    reason="NO SSH-KEYGEN: signatures are not tested; install OpenSSH's client (openssh-client)",
)
LAB, OTHER = "lab@example.org", "other@example.org"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for name in ("lab", "other"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    allowed = [
        f'{LAB} namespaces="ip-tsn" {(folder / "lab.pub").read_text()}',
        f"{OTHER} {(folder / 'other.pub').read_text()}",
    ]
    (folder / "allowed").write_text("".join(allowed))
    return folder


@pytest.fixture
def set_dir(tmp_path: Path) -> Path:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    return tmp_path / "set"


@pytest.fixture
def signed(set_dir: Path, keys: Path) -> Path:
    sign(set_dir, key=keys / "lab", identity=LAB)
    return set_dir


def refusal(location: str | Path, keys: Path, *, identity: str = LAB, allowed: str = "allowed") -> str:
    with pytest.raises(ShardError) as caught:
        check_signature(location, allowed_signers=keys / allowed, identity=identity)
    return str(caught.value)


def test_the_signed_manifest_is_accepted(signed: Path, keys: Path) -> None:
    manifest = check_signature(signed, allowed_signers=keys / "allowed", identity=LAB)
    assert list(verify(signed, sha256=manifest.sha256)) == []
    assert sorted(path.name for path in signed.iterdir() if path.is_file())[-2:] == [
        "manifest.json",
        "manifest.json.sig",
    ]
    assert not list(signed.glob(".*"))


def test_the_line_for_allowed_signers_is_what_others_need(set_dir: Path, keys: Path, tmp_path: Path) -> None:
    line = sign(set_dir, key=keys / "other", identity=OTHER).allowed_signer
    (tmp_path / "allowed").write_text(f"{line}\n")
    check_signature(set_dir, allowed_signers=tmp_path / "allowed", identity=OTHER)


def test_a_set_without_a_signature_is_refused(set_dir: Path, keys: Path) -> None:
    assert "has no signature, manifest.json.sig" in refusal(set_dir, keys)


def test_a_signature_of_somebody_else_is_refused(signed: Path, keys: Path) -> None:
    assert f"is by {LAB}, not by {OTHER}" in refusal(signed, keys, identity=OTHER)
    assert f"is by {LAB}, not by nobody" in refusal(signed, keys, identity="nobody")
    (keys / "others").write_text(f"{LAB} {(keys / 'other.pub').read_text()}")
    assert "is by a key that" in refusal(signed, keys, allowed="others")


def test_a_changed_manifest_is_refused_before_it_is_parsed(signed: Path, keys: Path) -> None:
    made_sets.edit_manifest(signed, lambda value: value.update(missing=["more"]))
    assert list(verify(signed)) == []  # it is sound, but not what was signed
    assert f"is by {LAB}, but not of this manifest.json" in refusal(signed, keys)
    (signed / "manifest.json").write_text("no JSON")
    assert "but not of this manifest.json" in refusal(signed, keys)


def test_a_signature_for_another_purpose_is_refused(signed: Path, keys: Path) -> None:
    (signed / "manifest.json.sig").unlink()
    command = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(keys / "lab"), "-n", "file", str(signed / "manifest.json")]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert "was made for 'file', not for 'ip-tsn'" in refusal(signed, keys)


@pytest.mark.parametrize("data", [b"", b"garbage", b"-----BEGIN SSH SIGNATURE-----\nAAAA\n", b"\xff" * 99])
def test_what_is_no_signature_is_refused(signed: Path, keys: Path, data: bytes) -> None:
    (signed / "manifest.json.sig").write_bytes(data)
    assert "is no signature of OpenSSH" in refusal(signed, keys)


def test_a_set_at_a_url(signed: Path, keys: Path) -> None:
    with serving(signed) as server:
        assert check_signature(server.url, allowed_signers=keys / "allowed", identity=LAB).sha256
        (signed / "manifest.json.sig").write_bytes(b"\n" * (MAX_SIGNATURE_BYTES + 1))
        assert f"is larger than {MAX_SIGNATURE_BYTES} bytes" in refusal(server.url, keys)
        (signed / "manifest.json.sig").unlink()
        assert "its signature cannot be read" in refusal(server.url, keys)


def test_a_huge_signature_is_not_read(signed: Path, keys: Path) -> None:
    (signed / "manifest.json.sig").write_bytes(b"\n" * (MAX_SIGNATURE_BYTES + 1))
    assert "is larger than" in refusal(signed, keys)


def test_without_ssh_keygen_nothing_is_accepted(
    signed: Path, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "ssh-keygen is not installed" in refusal(signed, keys)
    with pytest.raises(ShardError, match="ssh-keygen is not installed"):
        sign(signed, key=keys / "lab", identity=LAB)


def test_identities_that_mean_something_else_in_the_file_are_refused(set_dir: Path, keys: Path) -> None:
    for identity in ("*", "a,b", "two words", "-f", ""):
        with pytest.raises(ShardError, match="identity"):
            sign(set_dir, key=keys / "lab", identity=identity)
    assert not (set_dir / "manifest.json.sig").exists()


def test_a_key_that_is_none_leaves_the_old_signature(signed: Path, keys: Path) -> None:
    before = (signed / "manifest.json.sig").read_bytes()
    with pytest.raises(ShardError, match="cannot sign with it"):
        sign(signed, key=keys / "allowed", identity=LAB)
    assert (signed / "manifest.json.sig").read_bytes() == before


def test_another_manifest_than_the_signed_one_is_a_problem(signed: Path) -> None:
    """As if the set changed between the check of the signature and the check of the files."""
    assert "is not the one that was signed" in next(iter(verify(signed, sha256="0" * 64)))


def test_as_commands(set_dir: Path, keys: Path, ipshards: Run) -> None:
    done = ipshards("sign", set_dir, key=keys / "lab", identity=LAB)
    assert done.returncode == 0, done.stderr
    assert "README.md and croissant.json are outside of it" in done.stdout
    assert f'{LAB} namespaces="ip-tsn" ssh-ed25519 ' in done.stdout
    good = ipshards("verify", set_dir, allowed_signers=keys / "allowed", identity=LAB)
    assert (good.returncode, good.stdout.splitlines()[0][:31]) == (0, f"signed by {LAB}: mani")
    assert "README.md and croissant.json are outside" in good.stdout
    bad = ipshards("verify", set_dir, allowed_signers=keys / "allowed", identity=OTHER)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert f"is by {LAB}, not by {OTHER}" in bad.stderr
    assert ipshards("verify", set_dir, identity=LAB).returncode == 2
    assert ipshards("sign", "https://host/set", key=keys / "lab", identity=LAB).returncode == 2
    assert ipshards("verify", set_dir, allowed_signers=keys / "none", identity=LAB).returncode == 1
    assert ipshards("sign", set_dir, key=keys / "none", identity=LAB).returncode == 1
