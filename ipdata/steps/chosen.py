"""Encode only the frames that a reader has chosen, as a set's columns have them, in one pass over a bitstream."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ipdata.columns.registry import column_build_of
from ipdata.recipe import BuildRecipe
from ipdata.steps.encode import Clock, check_picture_types, checked_pairs
from ipdata.video import decode
from ipdata.video.decode import Picture

Choice = Mapping[str, Sequence[int]]  # column -> frame numbers


@dataclass(frozen=True)
class Frames:
    """The frames of one choice: column -> frame number -> its bytes in that column."""

    columns: dict[str, dict[int, bytes]]


def chosen_frames(m4v: Path, choices: Sequence[Choice], recipe: BuildRecipe, *, picture_types: str) -> Iterator[Frames]:
    """Yield the frames of each choice, in order, as soon as its last picture is decoded.

    m4v: the file of the bitstream. Its pictures are decoded only where chosen frames depend on them. choices: in order
    of time. A frame may be in several; it is kept until the last of these has been given away.

    Raises: VideoError as encode_columns does, for pictures that are decoded.
    """
    check_picture_types(decode.coded_picture_types(m4v), picture_types)
    columns = {name: _Column(name, m4v, choices, recipe, picture_types) for choice in choices for name in choice}
    compared = {number for column in columns.values() for number in column.needed}
    before = {number - 1 for number in compared if picture_types[number] != "I"}
    needed = compared | before
    in_order = checked_pairs(m4v, recipe, Clock(), picture_types=picture_types, needed=needed, with_mv=compared)
    pairs = zip(sorted(needed), in_order, strict=True)
    decoded = -1  # the last number
    for place, choice in enumerate(choices):
        last = max((number for numbers in choice.values() for number in numbers), default=-1)
        while decoded < last:
            decoded, (picture, previous) = next(pairs)
            for column in columns.values():
                column.add(decoded, picture, previous)
        yield Frames({name: columns[name].taken(numbers, place) for name, numbers in choice.items()})


class _Column:
    """Makes the chosen frames of one column."""

    def __init__(
        self, name: str, m4v: Path, choices: Sequence[Choice], recipe: BuildRecipe, picture_types: str
    ) -> None:
        self._m4v = m4v
        build, table = column_build_of(name), recipe.columns.get(name)
        self._maker = build.maker(table, **recipe.size)
        self._own = set(build.column.frame_numbers(picture_types))
        # Frame number -> the place of the last choice that has it.
        self._chosen = {number: place for place, choice in enumerate(choices) for number in choice.get(name, ())}
        self.needed = set(self._chosen)  # what the maker must get; a P-frame with the picture before it
        if build.follows_gop(table):
            starts = {number: picture_types.rindex("I", 0, number + 1) for number in self._chosen}
            self.needed = {number for last, first in starts.items() for number in range(first, last + 1)}
        self._asked: deque[int] = deque()  # whose frames the maker still owes
        self._made: dict[int, bytes] = {}

    def add(self, number: int, picture: Picture, previous: Picture) -> None:
        if number in self.needed:
            if number in self._own:
                self._asked.append(number)
            self._take(list(self._maker.add(picture, previous)))

    def taken(self, numbers: Sequence[int], place: int) -> dict[int, bytes]:
        """The frames of the choice at this place. Those that no later choice has are forgotten."""
        if any(number not in self._made for number in numbers):
            self._take(list(self._maker.rest(self._m4v)))  # a maker that collects frames gives them away now
        frames = {number: self._made[number] for number in numbers}
        self._made = {number: frame for number, frame in self._made.items() if self._chosen[number] > place}
        return frames

    def _take(self, frames: list[bytes]) -> None:
        for frame in frames:
            number = self._asked.popleft()
            if number in self._chosen:
                self._made[number] = frame
