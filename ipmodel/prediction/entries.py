"""What the page of predictions shows of each video."""

from dataclasses import dataclass, field

from ipmodel.prediction.answers import Guess


@dataclass(frozen=True)
class Answer:
    """What is kept of a prediction for the page."""

    start_s: float
    stop_s: float
    by: str
    tops: dict[str, list[Guess]]  # by stream or fusion
    true_class: str
    explained: list[str]
    pictures: dict[str, str]  # stream -> the file of the sheet of what it looked at


@dataclass
class Entry:
    """One video on the page."""

    name: str
    answers: list[Answer] = field(default_factory=list)
    sheet: str = ""  # its file
    failed: str = ""
