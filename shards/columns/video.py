"""The column video: the MPEG-4 Part 2 bitstream that every other column can be rebuilt from."""

from collections.abc import Iterator, Sequence

from numpy.typing import NDArray

from shards.columns.base import BytesColumn, Canvas, SheetRow
from shards.columns.payload import Payload
from shards.errors import ShardError

START_CODE = b"\0\0\1"  # every coded picture begins with one


class Video(BytesColumn):
    """Frames are coded pictures, as bytes; joined, they are the bitstream."""

    name = "video"
    payload = "m4v"
    pictures = "all"
    contents = "the MPEG-4 Part 2 bitstream that all other columns can be rebuilt from"

    @property
    def error(self) -> ShardError:
        return ShardError("video is a bitstream, not an array; read_bytes gives it")

    def problems(self, payload: Payload, *, width: int, height: int) -> Iterator[str]:
        if payload.header:
            yield f"{payload.header} bytes before the first frame"
        for position in range(len(payload)):
            if not payload.frame(position).startswith(START_CODE):
                yield f"frame {position} does not begin with a start code, as every coded picture does"
                return

    def draw(self, frames: Sequence[NDArray], numbers: Sequence[int], canvas: Canvas) -> SheetRow:
        """Draw the pictures of frames, which the caller has decoded: (H, W, 3) uint8 RGB."""
        tags = ["duplicate" if canvas.is_duplicate(number) else "" for number in numbers]
        return SheetRow(("picture",), [canvas.picture(rgb, tag=tag) for rgb, tag in zip(frames, tags, strict=True)])


VIDEO = Video()
