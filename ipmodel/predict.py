"""Predicts videos. The only module of `ipmodel` that imports `ipdata`, which needs the extra `build`."""

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ipmodel.errors import ModelError
from ipmodel.prediction.answers import Prediction, Unpredicted, sound
from ipmodel.prediction.looks import choices_of
from ipmodel.prediction.pipeline import Found, Read, predictions
from ipmodel.prediction.place import opened
from ipmodel.prediction.reached import OnReached, unheard
from ipmodel.prediction.scores import Encoded, Numbers
from ipmodel.prediction.streams import Streams
from pipelines import RecipeError
from shards.errors import install
from shards.failures import cause_of
from shards.schema import Sample
from shards.store import urls
from shards.text import printable_bytes

LOG = logging.getLogger(__name__)
VIDEO_TIMEOUT_S = 1800.0


@dataclass(frozen=True, kw_only=True, repr=False)
class Model(Streams):
    """A model that predicts videos. `ipmodel.load` makes it.

    Example:
        model = ipmodel.load("models/hmdb51")
        prediction = model.predict("clip.mp4")
        print(prediction.class_name, prediction.probability, prediction.opinions["i"].top())
    """

    def predict(self, video: str | Path) -> Prediction:
        """What the model says of a video: any file that ffmpeg reads. Needs the extra `build`.

        Raises: ModelError if it cannot be predicted; it says why.
        """
        (found,) = self.predict_all([video])
        return sound(found)

    def predict_spans(self, video: str | Path, *, every_s: float) -> list[Prediction]:
        """What the model says of each span of `every_s` seconds of a video. Raises: ModelError as `predict`."""
        return [sound(found) for found in self.predict_all([video], every_s=every_s)]

    def predict_all(
        self, videos: Iterable[str | Path], *, every_s: float | None = None
    ) -> Iterator[Prediction | Unpredicted]:
        """What the model says of each video, in their order, with an Unpredicted for one that fails.

        Several videos are decoded at a time. every_s: one prediction for each span of so many seconds.

        Raises: ModelError for a single path, at once; at the first video if this machine cannot predict.
        """
        if isinstance(videos, str | Path):
            raise ModelError(f"predict_all takes a list of paths, got the path {str(videos)!r}; give it to predict")
        return self._answers([str(video) for video in videos], every_s)

    def _answers(self, videos: list[str], every_s: float | None) -> Iterator[Prediction | Unpredicted]:
        for found in predictions_of_videos(self, videos, every_s=every_s):
            yield found.answer

    def features(self, video: str | Path) -> dict[str, NDArray[np.float32]]:
        """Stream -> the features of its last stage, averaged over time, space and crops: (F,) float32.

        For search and clustering. Raises: ModelError as `predict`.
        """
        return self.predict(video).features


def load(
    location: str | Path,
    *,
    split: str | None = None,
    streams: Sequence[str] | None = None,
    device: str | torch.device | None = None,
) -> Model:
    """A model that is ready to use; arguments and errors as `ipmodel.prediction.place.opened`."""
    return Model(**vars(opened(location, split=split, streams=streams, device=device)))


def predictions_of_videos(
    model: Streams,
    videos: Sequence[str],
    *,
    every_s: float | None = None,
    workers: int | None = None,
    video_timeout_s: float = VIDEO_TIMEOUT_S,
    ffmpeg: str | None = None,
    on_reached: OnReached = unheard,
) -> Iterator[Found]:
    """What a model says of each video, or of each span of `every_s` seconds, in order.

    videos: paths. Each is transcoded and decoded in a child process exactly as the model's data was; the checks and the
    reasons of a failure are those of a build. workers: videos that are decoded at a time; None: one for each core.
    video_timeout_s: for the transcode of a video, and for each span. on_reached: is called after each span that was
    read.

    Raises: ModelError if this machine cannot predict, or packages are missing.
    """
    with _build_errors():
        from ipdata.extraction import Extraction, Failed, Frames

        choose = partial(choices_of, looks=model.looks, every_s=every_s)
        extraction = Extraction(
            model.columns,
            choose,
            where=model.location,
            whole=every_s is not None,
            video_timeout_s=video_timeout_s,
            ffmpeg=ffmpeg,
        )
        if extraction.other_tools:
            LOG.warning("%s", _tools_line(model, extraction.other_tools))

        def read(video: str) -> Iterator[Read]:
            if urls.is_url(video) and not Path(video).is_file():
                yield _of_url(video)
                return
            for part in extraction.parts(Path(video), shown(video)):
                if isinstance(part, Failed):
                    why = part.failure
                    reason = cause_of(why.code, part.detail)
                    yield Unpredicted(video=shown(video), stage=why.stage, code=why.code, reason=reason)
                else:
                    yield part.columns if isinstance(part, Frames) else part

        # One short video has nothing to overlap with. The child of this thread then stays for the next call.
        threads = 0 if len(videos) == 1 and every_s is None else workers or os.cpu_count() or 1
        yield from predictions(
            model,
            videos,
            read,
            name_of=_name_of,
            every_s=every_s,
            threads=threads,
            at_end=extraction.close,
            on_reached=on_reached,
        )


def bitstream_frames(model: Streams) -> Callable[[Path, Sample, Numbers], Encoded]:
    """A function that gives chosen frames of a transcoded video: (file, record, column -> frame numbers) -> frames.

    It works in this process, without the checks and the time limit of `predictions_of_videos`.

    Raises: ModelError if this machine cannot, or packages are missing.
    """
    with _build_errors():
        from ipdata.extraction import Extraction

        extraction = Extraction(model.columns, _no_choice, where=model.location)
    return lambda m4v, sample, choice: extraction.frames_of(m4v, sample, choice).columns


def _no_choice(_: Sample) -> Sequence[Numbers]:
    return ()


def videos_below(directory: Path) -> list[str]:
    """The videos in a directory and below it, in order of their names. Raises: ModelError if there is none."""
    with _build_errors():
        from ipdata.extraction import videos_below as found_below

        found = [str(path) for path in found_below(directory)]
    if not found:
        raise ModelError(f"{shown(str(directory))}: no videos in this directory; name a video, or another directory")
    return found


def shown(path: str) -> str:
    """A path as text for people: what cannot be printed is escaped."""
    return printable_bytes(os.fsencode(path))


def _of_url(video: str) -> Unpredicted:
    reason = "it is a URL, and videos must be files on this machine; download it first"
    return Unpredicted(video=shown(urls.shown(video)), stage="source", code="unreadable", reason=reason)


def _tools_line(model: Streams, other: dict[str, tuple[str, str]]) -> str:
    """A line about tools with other versions than those that made the model's data."""
    listed = ", ".join(f"{tool} {there}, here {here}" for tool, (there, here) in sorted(other.items()))
    return f"{model.location}: its data was made with other tools ({listed}); scores may differ a little"


def _name_of(video: str, _: Sample) -> str:
    return shown(video)


@contextmanager
def _build_errors() -> Iterator[None]:
    """Raises: ModelError in place of the errors of `ipdata`, and of packages of the extra that are missing."""
    try:
        from ipdata.errors import BuildError
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    try:
        yield
    except ModuleNotFoundError as error:
        raise _missing(error) from None
    except (BuildError, RecipeError) as error:
        raise ModelError(str(error)) from None


def _missing(error: ModuleNotFoundError) -> ModelError:
    needs = 'predicting videos needs the packages of the extra "build"'
    return ModelError(f"{needs} (no module named {error.name!r}); {install('build')}")
