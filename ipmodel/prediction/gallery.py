"""The page of `ipmodel predict --html`: a contact sheet a video, each stream's opinion, a timeline; sortable."""

from pathlib import Path

from ipmodel.errors import ModelError
from ipmodel.prediction.answers import Prediction, Unpredicted
from ipmodel.prediction.pages import Answer, Entry, page_of
from ipmodel.prediction.pictures import SHOWN, first_sheet, sheet_of, sheets_of, write_picture
from ipmodel.prediction.pipeline import Found
from ipmodel.prediction.shown import explained
from ipmodel.prediction.streams import Streams
from shards.arrays import U8
from shards.atomic import write_published

PAGE, PICTURES = "index.html", "pictures"


class Page:
    """Collects predictions, and writes pictures as they come. `close` writes the page."""

    def __init__(self, directory: Path, model: Streams, *, explain: bool) -> None:
        """Raises: ModelError if the directory holds something else; OSError."""
        names = {path.name for path in directory.iterdir()} if directory.is_dir() else set()
        if names and PAGE not in names and names != {PICTURES}:  # an interrupted command leaves the pictures
            raise ModelError(f"{directory}: is not empty and has no {PAGE}; name a new directory for the page")
        self._directory, self._model, self._explain = directory, model, explain
        self._entries: dict[int, Entry] = {}
        self._kept: dict[int, bytes] = {}  # frame number -> I-frame, of some spans of the video that is shown now
        (directory / PICTURES).mkdir(parents=True, exist_ok=True)

    def add(self, found: Found) -> None:
        """Take one prediction. Raises: OSError; ShardError if a frame does not decode."""
        answer = found.answer
        entry = self._entries.setdefault(found.job, Entry(answer.video))
        if isinstance(answer, Unpredicted):
            entry.failed = answer.reason
            return
        assert found.sample is not None
        pictures = {}
        if self._explain:
            sheets = sheets_of(answer, found.sample, found.encoded, self._model.columns, self._model.looks)
            for number, (stream, sheet) in enumerate(sheets.items()):
                pictures[stream] = self._write(f"{found.job:05d}-{found.number:05d}-{number}.jpg", sheet)
        entry.answers.append(
            Answer(
                start_s=answer.start_s,
                stop_s=answer.stop_s,
                by=answer.by,
                tops={name: opinion.top() for name, opinion in answer.opinions.items()},
                true_class=answer.true_class,
                explained=explained(answer) if self._explain else [],
                pictures=pictures,
            )
        )
        if not pictures:
            self._draw(entry, found, answer)

    def _draw(self, entry: Entry, found: Found, answer: Prediction) -> None:
        """Draw the video's sheet: of one prediction, or once there are all spans, an I-frame of some of these."""
        assert found.sample is not None
        name, columns = f"{found.job:05d}.jpg", self._model.columns
        if found.spans == 1 or "iframe" not in columns:
            if not entry.sheet:
                sheet = first_sheet(answer, found.sample, found.encoded, columns, self._model.looks)
                entry.sheet = "" if sheet is None else self._write(name, sheet)
            return
        if found.number == 0:
            self._kept = {}  # what another video left that failed before its end
        own, count = found.encoded.get("iframe", {}), min(SHOWN, found.spans)
        if own and found.number in {(2 * part + 1) * found.spans // (2 * count) for part in range(count)}:
            self._kept |= [(number, own[number]) for number in sorted(own)][len(own) // 2 :][:1]
        if found.number == found.spans - 1 and self._kept:
            frames = {"iframe": self._kept}
            sheet = sheet_of(entry.name, found.sample, frames, columns, ["iframe"], sorted(self._kept))
            entry.sheet = self._write(name, sheet)

    def _write(self, name: str, picture: U8) -> str:
        """Write a picture; return its address on the page."""
        write_picture(self._directory / PICTURES / name, picture)
        return f"{PICTURES}/{name}"

    def close(self) -> Path:
        """Write the page; return its path. Raises: OSError."""
        path = self._directory / PAGE
        text = page_of([self._entries[number] for number in sorted(self._entries)], self._model)
        write_published(path, text.encode("utf-8", "backslashreplace"), temporary_dir=self._directory)
        return path
