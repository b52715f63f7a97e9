"""Synthetic videos whose classes differ by motion alone, or by tint alone. Drawn by arithmetic, without ffmpeg.

The texture is a sum of octaves of smooth noise. An octave is visible while the size of its grain on the screen lies
within a band, and this size decides its weight. So as a zoom goes on, coarse octaves fade out and fine ones fade in,
without end. Position, angle and grain start at random in every video of every class. So a still of any frame has the
same distribution in all motion classes, at any length.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ipdata.errors import BuildError
from shards.atomic import named
from shards.canonical import sha256_value

GENERATOR_VERSION = 1  # raise it with any change that alters a byte of any video

# Kind and direction of each motion class; "rotate" and "zoom" are about the centre of the picture.
MOTIONS = {
    "move_left": ("move", -1),
    "move_right": ("move", 1),
    "rotate_ccw": ("rotate", -1),
    "rotate_cw": ("rotate", 1),
    "zoom_in": ("zoom", 1),
    "zoom_out": ("zoom", -1),
}
# Lowest and highest speed a frame, in px, rad and octaves of size. Large enough for 16x16 block matching at 112x84.
SPEEDS = {
    "move": (1.5, 3.5),
    "rotate": (math.radians(2), math.radians(4)),
    "zoom": (math.log2(1.02), math.log2(1.04)),
}
TINTS = {"cool": (1, -1), "warm": (-1, 1)}  # direction of Cb and Cr
TINT_STRENGTH = (14, 28)
CLASSES = tuple(sorted([*MOTIONS, *TINTS]))

CELLS = 64  # lattice points along a side; beyond them the octave repeats
SAMPLES_PER_CELL = 8
OCTAVES = 5  # one more than is visible at once
FINEST_CELL_PX, VISIBLE_OCTAVES = 3.0, 4  # the visible band on the screen; the weight is 0 at both ends
MEAN, GAIN = 126.0, 140.0  # luma; a standard deviation of about 40
FRAME_RATE = 25


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """One synthetic video. Its fields decide every byte. Sizes in px. Raises BuildError for impossible fields."""

    class_name: str
    index: int
    frames: int
    width: int
    height: int
    seed: int

    def __post_init__(self) -> None:
        if self.class_name not in CLASSES:
            raise BuildError(f'no synthetic class "{self.class_name}"; known: {", ".join(CLASSES)}')
        if min(self.frames, self.width, self.height) < 1 or self.index < 0:
            raise BuildError(f"a synthetic video needs frames, width and height of at least 1, got {self}")

    def sha256(self) -> str:
        """Stands for the hash of a source file: equal if, and only if, the drawn videos are equal."""
        return sha256_value({**asdict(self), "generator": GENERATOR_VERSION})

    def draw(self) -> Iterator[np.ndarray]:
        """Yield frames (3, height, width) uint8: Y, Cb and Cr, all of full size, in BT.601's studio range."""
        random = np.random.Generator(np.random.PCG64(int(self.sha256(), 16)))
        scene = _Scene.of(self.class_name, random)
        for number in range(self.frames):
            picture = np.empty((3, self.height, self.width), np.uint8)
            picture[0] = scene.luma(number, self.height, self.width)
            picture[1], picture[2] = scene.chroma
            yield picture

    def write(self, path: Path) -> None:
        """Write an uncompressed YUV4MPEG2 file, 4:4:4."""
        with named(path), path.open("wb") as file:
            file.write(f"YUV4MPEG2 W{self.width} H{self.height} F{FRAME_RATE}:1 Ip A1:1 C444\n".encode("ascii"))
            for picture in self.draw():
                file.write(b"FRAME\n" + picture.tobytes())


@dataclass(frozen=True, kw_only=True)
class _Scene:
    """All that is drawn at random for one video."""

    kind: str  # key of SPEEDS
    velocity: float  # a frame, signed; px, rad or octaves
    chroma: tuple[int, int]
    angle: float  # rad, of the first frame
    phase: float  # octaves, of the first frame
    offsets: np.ndarray  # (OCTAVES, 2), in cells: what lies in the centre of the first frame
    octaves: np.ndarray  # (OCTAVES, side, side) float32, about zero, periodic

    @classmethod
    def of(cls, class_name: str, random: np.random.Generator) -> "_Scene":
        motion = class_name if class_name in MOTIONS else list(MOTIONS)[random.integers(len(MOTIONS))]
        kind, sign = MOTIONS[motion]
        tint = int(random.integers(TINT_STRENGTH[0], TINT_STRENGTH[1] + 1))
        cb, cr = TINTS.get(class_name, (0, 0))
        return cls(
            kind=kind,
            velocity=sign * random.uniform(*SPEEDS[kind]),
            chroma=(128 + cb * tint, 128 + cr * tint),
            angle=random.uniform(0, 2 * math.pi),
            phase=random.uniform(0, OCTAVES),
            offsets=random.uniform(0, CELLS, (OCTAVES, 2)),
            octaves=np.stack([_octave(random) for _ in range(OCTAVES)]),
        )

    def luma(self, number: int, height: int, width: int) -> np.ndarray:
        """The luma of one frame, (height, width) uint8, 16 to 235."""
        moved = number * self.velocity
        shift_px = moved if self.kind == "move" else 0.0
        angle = self.angle + (moved if self.kind == "rotate" else 0.0)
        phase = self.phase + (moved if self.kind == "zoom" else 0.0)
        x = (np.arange(width) - (width - 1) / 2 - shift_px)[None, :]
        y = (np.arange(height) - (height - 1) / 2)[:, None]
        # The screen turns clockwise (y points down) by `angle`; so looking up a texel turns back.
        across, down = math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x
        total, power = np.zeros((height, width)), 0.0
        first = math.ceil(-phase)
        for octave in range(first, first + VISIBLE_OCTAVES):
            place = octave + phase  # 0 to VISIBLE_OCTAVES: where in the band this octave's grain is now
            weight = math.sin(math.pi * place / VISIBLE_OCTAVES) ** 2
            cell_px = FINEST_CELL_PX * 2.0**place
            v, u = self.offsets[octave % OCTAVES]
            texels = _sample(self.octaves[octave % OCTAVES], u + across / cell_px, v + down / cell_px)
            total, power = total + weight * texels, power + weight * weight
        return np.clip(np.rint(MEAN + GAIN / math.sqrt(power) * total), 16, 235).astype(np.uint8)


def _octave(random: np.random.Generator) -> np.ndarray:
    """Smooth periodic noise, -1 to 1: a quadratic B-spline through the lattice, by repeated subdivision.

    All values are fractions of small powers of two, so float32 holds them exactly on every processor.
    """
    field = random.integers(-128, 128, (CELLS, CELLS)).astype(np.float32) / 128
    while len(field) < CELLS * SAMPLES_PER_CELL:
        for axis in (0, 1):
            field = np.repeat(field, 2, axis)
            field = (np.roll(field, 1, axis) + 2 * field + np.roll(field, -1, axis)) / 4
    return field


def _sample(octave: np.ndarray, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Bilinear look-up at (v, u) cells, repeating in both directions; float64 of their common shape."""
    side = len(octave)
    u, v = u * SAMPLES_PER_CELL, v * SAMPLES_PER_CELL
    column, row = np.floor(u), np.floor(v)
    along, down = u - column, v - row
    left, top = column.astype(np.int64) % side, row.astype(np.int64) % side
    right, bottom = (left + 1) % side, (top + 1) % side
    texels = octave.ravel()
    upper = texels[top * side + left] * (1 - along) + texels[top * side + right] * along
    lower = texels[bottom * side + left] * (1 - along) + texels[bottom * side + right] * along
    return upper * (1 - down) + lower * down
