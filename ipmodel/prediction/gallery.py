"""The page of `ipmodel predict --html`: a contact sheet a video, each stream's opinion, a timeline; sortable."""

from pathlib import Path

from ipmodel.data.sampling import middle_positions
from ipmodel.prediction.answers import Prediction, Unpredicted
from ipmodel.prediction.entries import Answer, Entry
from ipmodel.prediction.pages import page_of
from ipmodel.prediction.pictures import SHOWN, first_sheet, sheet_of, sheets_of
from ipmodel.prediction.pipeline import Found
from ipmodel.prediction.shown import explained
from ipmodel.prediction.streams import Streams
from shards.sheet.page import PageDirectory


class Page:
    """Collects predictions, and writes pictures as they come. `close` writes the page."""

    def __init__(self, directory: Path, model: Streams, *, explain: bool) -> None:
        """Raises: ShardError if the directory holds something else; OSError."""
        self._directory, self._model, self._explain = PageDirectory(directory), model, explain
        self._entries: dict[int, Entry] = {}
        self._kept: dict[int, bytes] = {}  # frame number -> I-frame, of some spans of the video that is shown now

    def add(self, found: Found) -> None:
        """Take one prediction. Raises: OSError; ShardError if a frame does not decode."""
        answer = found.answer
        entry = self._entries.setdefault(found.job, Entry(answer.video))
        if isinstance(answer, Unpredicted):
            entry.failed = answer.said
            return
        assert found.sample is not None
        pictures = {}
        if self._explain:
            sheets = sheets_of(answer, found.sample, found.encoded, self._model.columns, self._model.looks)
            for number, (stream, sheet) in enumerate(sheets.items()):
                pictures[stream] = self._directory.add(f"{found.job:05d}-{found.number:05d}-{number}.jpg", sheet)
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
                entry.sheet = "" if sheet is None else self._directory.add(name, sheet)
            return
        if found.number == 0:
            self._kept = {}  # what another video left that failed before its end
        own = found.encoded.get("iframe", {})
        if own and found.number in middle_positions(found.spans, min(SHOWN, found.spans)):
            middle = sorted(own)[len(own) // 2]
            self._kept[middle] = own[middle]
        if found.number == found.spans - 1 and self._kept:
            frames = {"iframe": self._kept}
            sheet = sheet_of(entry.name, found.sample, frames, columns, ["iframe"], sorted(self._kept))
            entry.sheet = self._directory.add(name, sheet)

    def close(self) -> Path:
        """Write the page; return its path. Raises: OSError."""
        return self._directory.publish(
            page_of([self._entries[number] for number in sorted(self._entries)], self._model)
        )
