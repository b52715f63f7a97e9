"""Unpacks the archives of a dataset's site into a source directory that `ipdata build` takes as it is."""

import logging
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ipdata.archives.contents import AGAIN, members_of, readings
from ipdata.archives.members import ArchiveError, Limits, Member, check_limits, check_members
from ipdata.archives.tools import INSTALL
from ipdata.datasets import DATASETS
from ipdata.datasets.archives import Archives, Counts, counts_of, is_archive
from ipdata.datasets.base import Dataset, shown, video_files
from ipdata.errors import BuildError
from shards.atomic import LockedError, directory_locked, named, publish_new, sync_directory, write_all
from shards.text import printable

LOG = logging.getLogger(__name__)
WORK = ".unpacking"  # in the directory, so that renaming from there is one step; nothing that is hidden is a video


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `ipdata unpack` is asked for. limits: None for the dataset's own."""

    dataset: Dataset
    archives: tuple[Path, ...]
    out: Path
    max_bytes: int | None = None
    max_files: int | None = None


@dataclass
class Unpacked:
    """What a run did. left_out: members that are neither videos nor lists of the dataset."""

    files: int = 0
    kept: int = 0  # files that were there already
    left_out: list[str] = field(default_factory=list)
    there: Counts = field(default_factory=lambda: Counts(0, 0, 0))


@dataclass(frozen=True)
class _Part:
    """An archive that holds no further ones, and where its files go; label: its name for people."""

    label: str
    path: Path
    members: list[Member]
    places: dict[str, str]  # member's name -> path below the directory


OnBytes = Callable[[int, int], None]  # (bytes read so far, bytes in all)


def unpack(request: Request, on_bytes: OnBytes = lambda done, total: None) -> Unpacked:
    """Unpack archives. What lies in the directory already, by name and size, is not unpacked again.

    All members of all archives are checked before the first file gets its final name.

    Raises: BuildError if an archive cannot be read, is hostile, or has other content than the directory; OSError.
    """
    facts = request.dataset.archives
    if facts is None:
        raise BuildError(f"the dataset {request.dataset.name} has no archives that can be unpacked here")
    with _work_in(request.out) as work:
        run = _Run(request, facts, work, on_bytes)
        parts = run.parts()
        run.check(parts)
        for part in parts:
            run.unpack(part)
    names = (PurePosixPath(path.relative_to(request.out)) for path in video_files(request.out))
    run.result.there = counts_of(facts, names)
    return run.result


@contextmanager
def _work_in(out: Path) -> Iterator[Path]:
    """An empty directory for unfinished files, which only this process uses, and which is removed at the end."""
    work = out / WORK
    if work.is_symlink():
        raise BuildError(f"{shown(work)}: is not the directory that a run makes, but a link; remove it")
    work.mkdir(parents=True, exist_ok=True)
    try:
        with directory_locked(work, wait_s=0):
            _empty(work)
            try:
                yield work
            finally:
                shutil.rmtree(work, ignore_errors=True)
                with suppress(OSError):  # it has content
                    out.rmdir()
    except LockedError:
        raise BuildError(f"{shown(out)}: another process unpacks into it; wait for it or stop it") from None


def _empty(work: Path) -> None:
    """Remove what a killed run has left."""
    for path in work.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


class _Run:
    """One run: its request, its work directory, and what was done so far."""

    def __init__(self, request: Request, facts: Archives, work: Path, on_bytes: OnBytes) -> None:
        self.facts, self.out, self.work, self.on_bytes = facts, request.out, work, on_bytes
        self.archives = request.archives
        self.limits = Limits(request.max_bytes or facts.max_bytes, request.max_files or facts.max_files)
        self.result, self.read_bytes, self.total_bytes = Unpacked(), 0, 0
        self.tool_dir = work / "tool"
        self.tool_dir.mkdir()

    def parts(self) -> list[_Part]:
        """All archives and those inside of them, each checked; the inner ones now lie in the work directory."""
        opened = []
        for path in self.archives:
            members = members_of(shown(path), path)
            check_members(shown(path), members)
            opened.append((path, members))
        seen = [member for _, members in opened for member in members]
        check_limits("the archives", seen, self.limits)
        parts = []
        for number, (path, members) in enumerate(opened):
            inner = [member for member in members if member.kind == "file" and is_archive(member.path)]
            if inner:
                parts += self._inner_parts(path, members, inner, self.work / f"inner-{number}")
            parts.append(self._part(shown(path), path, members, leave=inner))
        return parts

    def _inner_parts(self, path: Path, members: list[Member], inner: list[Member], folder: Path) -> list[_Part]:
        label = shown(path)
        self._check_space(sum(member.size_bytes for member in inner))
        LOG.info("%s: copying the %d archives in it", label, len(inner))
        targets = {member.name: folder / str(number) / member.path.name for number, member in enumerate(inner)}
        for target in targets.values():
            target.parent.mkdir(parents=True)
        self._read(label, path, members, targets, lambda name: None)
        parts = []
        for member in inner:
            inner_label = f"{label}/{member.name}"
            inside = members_of(inner_label, targets[member.name])
            check_members(inner_label, inside)
            parts.append(self._part(inner_label, targets[member.name], inside, leave=[]))
        return parts

    def _part(self, label: str, path: Path, members: list[Member], *, leave: list[Member]) -> _Part:
        """leave: members that are unpacked otherwise."""
        places, others = {}, {member.name for member in leave}
        for member in members:
            if member.kind != "file" or member.name in others:
                continue
            place = self.facts.place(member.path)
            if place is None:
                self.result.left_out.append(f"{label}/{member.name}")
            elif member.name in places:
                raise BuildError(f"{label}: has {member.name} twice; {AGAIN}")
            else:
                places[member.name] = place
        return _Part(label, path, members, places)

    def check(self, parts: list[_Part]) -> None:
        """Refuse what cannot be unpacked as a whole. Raises: BuildError."""
        for part in parts:
            self._check_dataset(part)
        check_limits("the archives", [member for part in parts for member in part.members], self.limits)
        if not any(part.places for part in parts):
            raise self._nothing()
        twice = [place for place, n in Counter(p for part in parts for p in part.places.values()).items() if n > 1]
        if twice:
            raise BuildError(f"two members of the archives go to {twice[0]}; give each archive once")
        missing_bytes = 0
        for part in parts:
            for member in part.members:
                if member.name in part.places and not self._is_there(part, member):
                    missing_bytes += member.size_bytes
        self._check_space(missing_bytes)
        self.total_bytes = sum(member.size_bytes for part in parts for member in part.members)

    def _check_dataset(self, part: _Part) -> None:
        """Raises: BuildError if an archive has names that another dataset's files have."""
        others = [other for other in DATASETS.values() if other.archives not in (None, self.facts)]
        for other in others:
            assert other.archives is not None
            theirs = [member for member in part.members if other.archives.form.fullmatch(member.path.name)]
            if theirs:
                what = f"{printable(theirs[0].name)} is a name of the dataset {other.name}"
                raise BuildError(f"{part.label}: {what}; give --dataset {other.name}, or the archives of this dataset")

    def _nothing(self) -> BuildError:
        others = self.result.left_out
        what = f"only other files ({len(others)}), such as {printable(others[0])}" if others else "and no other file"
        cure = f"give the archives of the dataset's site: {', '.join(self.facts.names)}"
        return BuildError(
            f"{', '.join(map(shown, self.archives))}: no video and no list of the dataset, {what}; {cure}"
        )

    def _is_there(self, part: _Part, member: Member) -> bool:
        """Tell whether a file has its final name already. Raises: BuildError if something else has."""
        path = self.out / part.places[member.name]
        folders = [parent for parent in path.parents if parent.is_relative_to(self.out) and parent != self.out]
        if any(folder.is_symlink() for folder in folders) or path.is_symlink():
            raise BuildError(f"{shown(path)}: leads through a link, perhaps out of the directory; replace the link")
        if not path.exists():
            return False
        if not path.is_file() or path.stat().st_size != member.size_bytes:
            what = f"is not the file of {member.size_bytes} bytes that {part.label} has"
            raise BuildError(f"{shown(path)}: {what}; move it away and run this again")
        return True

    def _check_space(self, needed_bytes: int) -> None:
        free_bytes = shutil.disk_usage(self.out).free
        if needed_bytes > free_bytes:
            cure = "make room, or name another directory with --out"
            raise BuildError(f"{shown(self.out)}: needs {needed_bytes} bytes more, {free_bytes} are free; {cure}")

    def unpack(self, part: _Part) -> None:
        """Unpack and publish the files of an archive, a folder at a time."""
        wanted = [m for m in part.members if m.name in part.places and not self._is_there(part, m)]
        self.result.kept += len(part.places) - len(wanted)
        if wanted:
            staged = self.work / "staged"
            targets = {member.name: staged / part.places[member.name] for member in wanted}
            left = Counter(target.parent for target in targets.values())
            for folder in left:
                folder.mkdir(parents=True, exist_ok=True)

            def done(name: str) -> None:
                folder = targets[name].parent
                left[folder] -= 1
                if not left[folder]:
                    self._publish(folder, self.out / folder.relative_to(staged))

            self._read(part.label, part.path, part.members, targets, done)
            self.result.files += len(wanted)
        else:
            self._advance(sum(member.size_bytes for member in part.members))
        if part.path.is_relative_to(self.work):
            part.path.unlink()  # the disk has room for the next one

    def _publish(self, staged: Path, final: Path) -> None:
        final.parent.mkdir(parents=True, exist_ok=True)
        sync_directory(staged)
        if final.exists():
            for path in sorted(staged.iterdir()):
                publish_new(path, final / path.name)
        else:
            staged.rename(final)
            sync_directory(final.parent)

    def _read(
        self, label: str, path: Path, members: list[Member], targets: dict[str, Path], done: Callable[[str], None]
    ) -> None:
        """Write the members in `targets` to their files; `done` hears of each whole one. Tries one tool after another.

        Raises: BuildError if no tool can read the archive.
        """
        problems, written, begun_bytes = [], set[str](), self.read_bytes
        for tool, pieces in readings(label, path, members, self.tool_dir):
            self.read_bytes = begun_bytes
            try:
                with closing(pieces):
                    for member, chunks in pieces:
                        target = None if member.name in written else targets.get(member.name)
                        self._write(target, chunks)
                        if target is not None:
                            written.add(member.name)
                            done(member.name)
                return
            except ArchiveError as problem:
                problems.append(f"{tool}: {problem}")
                LOG.warning("%s: %s cannot unpack it: %s", label, tool, problem)
        cure = AGAIN if path.suffix.lower() == ".zip" else f"{AGAIN}, or {INSTALL}"
        raise BuildError(f"{label}: cannot be unpacked ({'; '.join(problems)}); {cure}")

    def _write(self, target: Path | None, chunks: Iterator[bytes]) -> None:
        """Write a file and sync it; None: only read. A file that breaks off is removed.

        Only errors of writing get the name of the file: those of reading come from the archive.
        """
        if target is None:
            for chunk in chunks:
                self._advance(len(chunk))
            return
        try:
            with target.open("wb", buffering=0) as file:
                for chunk in chunks:
                    with named(target):
                        write_all(file, chunk)
                    self._advance(len(chunk))
                with named(target):
                    os.fsync(file.fileno())
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def _advance(self, read_bytes: int) -> None:
        self.read_bytes += read_bytes
        self.on_bytes(self.read_bytes, self.total_bytes)
