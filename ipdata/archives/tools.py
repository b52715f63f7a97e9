"""The programs that unpack RAR archives: bsdtar, unar or 7z. They write to a pipe and never to a file."""

import os
import select
import shutil
import subprocess
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from ipdata.archives.members import ArchiveError
from shards.text import printable

SILENCE_S = 120.0  # a tool that writes nothing for so long hangs
CHUNK_BYTES = 2**20
MAX_SAID_BYTES = 2**16
SHOWN_LINES = 3
LINKED_NAME = "archive.rar"  # by which a tool gets its archive: no name that is an option, a pattern or a volume
INSTALL = "install unar (`apt-get install unar`, `brew install unar`) or bsdtar (`apt-get install libarchive-tools`)"


@dataclass(frozen=True)
class Tool:
    """A program that writes the contents of all members of an archive to stdout, one after another, in their order."""

    name: str
    options: tuple[str, ...]

    @property
    def path(self) -> str | None:
        return shutil.which(self.name)

    def contents(self, archive: Path, work: Path) -> Generator[bytes, None, None]:
        """Yield what the tool writes, in chunks. work: an empty directory; it is left empty.

        The caller must hold the bytes against the archive's checksums: not every tool fails on damaged data.

        Raises: ArchiveError, with what the tool said, if it fails at the end or falls silent; OSError.
        """
        link, said = work / LINKED_NAME, bytearray()
        link.symlink_to(archive.absolute())
        try:
            yield from self._run(work, said)
        except _EndedError as end:
            lines = said.decode("utf-8", "replace").split("\n")
            words = [printable(line.strip()) for line in lines[:SHOWN_LINES] if line.strip()]
            raise ArchiveError(": ".join([str(end), *filter(None, ["; ".join(words)])])) from None
        finally:
            link.unlink()

    def _run(self, work: Path, said: bytearray) -> Generator[bytes, None, None]:
        """Yield what the tool writes to stdout, and add to `said` what it writes to stderr."""
        command = [self.path or self.name, *self.options, LINKED_NAME]
        environment = {**os.environ, "LC_ALL": "C.UTF-8"}
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        with subprocess.Popen(
            command, cwd=work, env=environment, bufsize=0, stdin=nothing, stdout=pipe, stderr=pipe
        ) as process:
            assert process.stdout is not None and process.stderr is not None  # Popen was asked for both
            pipes = [process.stdout, process.stderr]
            try:
                while pipes:
                    ready, _, _ = select.select(pipes, [], [], SILENCE_S)
                    if not ready:
                        raise _EndedError(f"wrote nothing for {SILENCE_S:g} s")
                    for file in ready:
                        if not (chunk := os.read(file.fileno(), CHUNK_BYTES)):
                            pipes.remove(file)
                        elif file is process.stdout:
                            yield chunk
                        else:
                            said += chunk
                    if len(said) > MAX_SAID_BYTES:  # bsdtar 3.6 does so for ever at a folder of RAR 5
                        raise _EndedError(f"wrote more than {MAX_SAID_BYTES} bytes of messages")
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise _EndedError(f"ended with status {process.returncode}")


class _EndedError(Exception):
    """A tool has ended badly, or was ended."""


TOOLS = (
    Tool("bsdtar", ("-xOf",)),
    Tool("unar", ("-no-recursion", "-quiet", "-output-directory", "-")),
    Tool("7z", ("x", "-so", "-bd", "-y")),
    Tool("7zz", ("x", "-so", "-bd", "-y")),  # the name of 7-Zip's own builds
)
