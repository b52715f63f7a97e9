"""Signs the manifest of a set, and checks such a signature, with OpenSSH's `ssh-keygen -Y`.

The manifest names every file of a set with its hash, so a signature over it is one over the set. README.md and
croissant.json are not part of the set, and a signature says nothing of them.
"""

import base64
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

from shards.atomic import named, write_published
from shards.errors import ShardError
from shards.layout import MANIFEST, SIGNATURE
from shards.manifest import Manifest
from shards.regular import open_regular
from shards.store.remote import MAX_MANIFEST_BYTES
from shards.store.small import fetch_whole
from shards.store.sources import source_of
from shards.store.urls import is_url, shown
from shards.text import printable

NAMESPACE = "ip-tsn"  # keeps a signature that was made for another purpose from counting here
MAX_SIGNATURE_BYTES = 64 << 10
TIMEOUT_S = 60.0  # of a check; signing may wait for a person
IDENTITY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,127}")  # without what has a meaning in a file of allowed signers
ARMOUR = ("-----BEGIN SSH SIGNATURE-----", "-----END SSH SIGNATURE-----")
MAGIC = b"SSHSIG"


@dataclass(frozen=True)
class Signed:
    """What signing did."""

    path: Path
    allowed_signer: str  # the line that others need in their file of allowed signers


def sign(directory: str | Path, *, key: Path, identity: str) -> Signed:
    """Write `manifest.json.sig` beside the manifest of a set in a directory.

    key: a private key of OpenSSH, or the public half of one that ssh-agent holds.

    Raises: ShardError if there is no set, no ssh-keygen, or if it cannot sign with the key.
    """
    _check_identity(identity)
    path = Path(directory) / MANIFEST
    Manifest.read(Path(directory))
    data = path.read_bytes()
    with tempfile.TemporaryDirectory(prefix=".signing-", dir=directory) as folder:
        copy, signature = Path(folder) / MANIFEST, Path(folder) / SIGNATURE
        with named(copy):
            copy.write_bytes(data)
        done = _ssh_keygen("sign", ["-f", str(key), "-n", NAMESPACE, str(copy)], timeout_s=None)
        if done.returncode or not signature.is_file():
            raise ShardError(f"{key}: cannot sign with it ({_reason(done)}); name a private key of OpenSSH with --key")
        public, _ = _parts_of(signature.read_bytes(), where=str(signature))
        allowed = Path(folder) / "allowed_signers"
        line = f'{identity} namespaces="{NAMESPACE}" {public}'
        with named(allowed):
            allowed.write_text(f"{line}\n", encoding="ascii")
        if _check(signature, data, allowed_signers=allowed, identity=identity).returncode:
            raise ShardError(f"{key}: ssh-keygen does not accept its own signature; update OpenSSH")
        write_published(Path(directory) / SIGNATURE, signature.read_bytes(), temporary_dir=Path(folder))
    return Signed(Path(directory) / SIGNATURE, line)


def check_signature(location: str | Path, *, allowed_signers: Path, identity: str) -> Manifest:
    """Return the manifest of a set, in a directory or at a URL, if `identity` signed it.

    Nothing of the manifest is parsed before. allowed_signers: a file as `ssh-keygen` reads it, with the keys of those
    whom the caller trusts.

    Raises: ShardError that says what is wrong: no signature, one of somebody else, one of another manifest, no
        ssh-keygen.
    """
    _check_identity(identity)
    if not allowed_signers.is_file():
        cure = f'write lines of the form: NAME namespaces="{NAMESPACE}" ssh-ed25519 AAAA...'
        raise ShardError(f"{allowed_signers}: no such file of allowed signers; {cure}")
    data, signature = _read(str(location), MANIFEST, MAX_MANIFEST_BYTES), _signature_of(str(location))
    with tempfile.TemporaryDirectory(prefix="ipshards-") as folder:
        path = Path(folder) / SIGNATURE
        path.write_bytes(signature)
        done = _check(path, data, allowed_signers=allowed_signers, identity=identity)
        if done.returncode:
            why = _why_refused(path, signature, done, allowed_signers=allowed_signers, identity=identity)
            raise ShardError(f"{shown(location)}/{SIGNATURE}: {why}")
    return Manifest.from_json(data, where=f"{shown(location)}/{MANIFEST}")


def _check(signature: Path, data: bytes, *, allowed_signers: Path, identity: str) -> subprocess.CompletedProcess[bytes]:
    options = ["-f", str(allowed_signers), "-I", identity, "-n", NAMESPACE, "-s", str(signature)]
    return _ssh_keygen("verify", options, data=data)


def _why_refused(
    path: Path,
    signature: bytes,
    done: subprocess.CompletedProcess[bytes],
    *,
    allowed_signers: Path,
    identity: str,
) -> str:
    """Why ssh-keygen refused a signature, in words. What it says itself differs from version to version."""
    public, namespace = _parts_of(signature, where=SIGNATURE)
    if namespace != NAMESPACE:
        return f"was made for {namespace!r}, not for {NAMESPACE!r}; sign the set with `ipshards sign`"
    found = _ssh_keygen("find-principals", ["-s", str(path), "-f", str(allowed_signers)])
    names = found.stdout.decode("utf-8", "replace").replace(",", " ").split()  # they may be patterns, such as *@lab
    if not names:
        return f"is by a key that {allowed_signers} does not list, {public}; ask {identity} whether it is theirs"
    if not any(fnmatchcase(identity, name) for name in names):
        return f"is by {printable(', '.join(names))}, not by {identity}"
    reason = f"is by {identity}, but not of this {MANIFEST}, which was changed or replaced ({_reason(done)})"
    return f"{reason}; fetch the set again, or ask {identity} for a new signature"


def _signature_of(location: str) -> bytes:
    cure = "ask its publisher to sign it with `ipshards sign`"
    try:
        return _read(location, SIGNATURE, MAX_SIGNATURE_BYTES)
    except FileNotFoundError:
        raise ShardError(f"{shown(location)}: has no signature, {SIGNATURE}; {cure}") from None
    except ShardError as error:
        raise ShardError(f"{shown(location)}: its signature cannot be read ({error}); if it has none, {cure}") from None


def _read(location: str, name: str, limit_bytes: int) -> bytes:
    """A file of limited size beside the manifest. Raises: ShardError; FileNotFoundError for a missing signature."""
    if is_url(location):
        return fetch_whole(source_of(location), name, limit_bytes=limit_bytes)
    path = Path(location) / name
    if not path.is_file() and name == MANIFEST:
        Manifest.read(Path(location))
    with open_regular(path) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        raise ShardError(f"{path}: is larger than {limit_bytes} bytes, so it is not what it should be")
    return data


def _check_identity(identity: str) -> None:
    if not IDENTITY.fullmatch(identity):
        raise ShardError(f"identity {identity!r:.80}: needs a name such as lab@example.org, of {IDENTITY.pattern}")


def _ssh_keygen(
    verb: str, options: Sequence[str], *, data: bytes | None = None, timeout_s: float | None = TIMEOUT_S
) -> subprocess.CompletedProcess[bytes]:
    """Run `ssh-keygen -Y verb`. Raises: ShardError if it is not installed, or takes too long."""
    program = shutil.which("ssh-keygen")
    if program is None:
        raise ShardError("ssh-keygen is not installed; install OpenSSH's client, 8.2 or newer (openssh-client)")
    try:
        return subprocess.run(
            [program, "-Y", verb, *options],
            input=b"" if data is None else data,
            capture_output=True,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        raise ShardError(f"ssh-keygen -Y {verb} did not end in {timeout_s:g} s") from None


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    lines = (done.stderr + done.stdout).decode("utf-8", "replace").split("\n")
    return "; ".join(printable(line.strip()) for line in lines if line.strip()) or f"status {done.returncode}"


def _parts_of(signature: bytes, *, where: str) -> tuple[str, str]:
    """The public key of a signature as OpenSSH writes keys, and its namespace (OpenSSH's PROTOCOL.sshsig).

    Raises: ShardError if the bytes are no signature.
    """
    try:
        lines = signature.decode("ascii").split()
        text = "".join(lines).removeprefix("".join(ARMOUR[0].split())).removesuffix("".join(ARMOUR[1].split()))
        blob = base64.b64decode(text, validate=True)
        if not blob.startswith(MAGIC):
            raise ValueError("no SSHSIG")
        key, rest = _string_of(blob[len(MAGIC) + 4 :])
        namespace, _ = _string_of(rest)
        kind, _ = _string_of(key)
        return f"{kind.decode('ascii')} {base64.b64encode(key).decode('ascii')}", namespace.decode("ascii")
    except ValueError as error:
        raise ShardError(f"{where}: is no signature of OpenSSH ({error}); fetch it again") from None


def _string_of(data: bytes) -> tuple[bytes, bytes]:
    """The length-prefixed string at the beginning of some bytes, and what follows it."""
    stop = 4 + int.from_bytes(data[:4])
    if len(data) < stop or len(data) < 4:
        raise ValueError("cut")
    return data[4:stop], data[stop:]
