"""Synthetic videos whose classes differ by motion alone, or by tint alone. Drawn by arithmetic, without ffmpeg.

The texture is a sum of octaves of smooth noise. An octave is visible while the size of its grain on the screen lies
within a band, and this size decides its weight. So as a zoom goes on, coarse octaves fade out and fine ones fade in,
without end. Position, angle and grain start at random in every video of every class. So a still of any frame has the
same distribution in all motion classes, at any length.

`Difficulty` makes them a benchmark: fainter texture, slower motion, noise, a shaking camera, discs with a motion of
their own.
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
# Further motion classes, all of kind "move": the direction in rad, from the right clockwise (y points down).
DIRECTIONS = {
    "move_down": math.pi / 2,
    "move_down_left": math.pi * 3 / 4,
    "move_down_right": math.pi / 4,
    "move_up": -math.pi / 2,
    "move_up_left": -math.pi * 3 / 4,
    "move_up_right": -math.pi / 4,
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
ALL_CLASSES = tuple(sorted([*CLASSES, *DIRECTIONS]))

CELLS = 64  # lattice points along a side; beyond them the octave repeats
SAMPLES_PER_CELL = 8
OCTAVES = 5  # one more than is visible at once
FINEST_CELL_PX, VISIBLE_OCTAVES = 3.0, 4  # the visible band on the screen; the weight is 0 at both ends
MEAN, GAIN = 126.0, 140.0  # luma; a standard deviation of about 40
FRAME_RATE = 25
DISC_SHARES = (0.1, 0.2)  # smallest and largest radius of a distractor, of the picture's shorter side


@dataclass(frozen=True, kw_only=True)
class Difficulty:
    """What makes the motion of a synthetic video harder to tell. The defaults add nothing. Raises ValueError."""

    contrast: float = 1.0  # of the texture
    slowest: float = 1.0  # times the lowest speed
    fastest: float = 1.0  # times the highest speed
    noise: float = 0.0  # standard deviation in each pixel of each frame, levels of luma
    shake_px: float = 0.0  # standard deviation of the camera's place in each frame, in x and in y
    distractors: int = 0  # discs that move through the picture, each in a direction of its own

    def __post_init__(self) -> None:
        if not 0 < self.contrast <= 1:
            raise ValueError(f"contrast must be above 0 and at most 1, got {self.contrast}")
        if not 0 < self.slowest <= self.fastest * 2 or self.fastest > 10:
            raise ValueError("slowest and fastest must be positive, fastest at most 10 and not below half of slowest")
        if not 0 <= self.noise <= 100 or not 0 <= self.shake_px <= 100 or not 0 <= self.distractors <= 100:
            raise ValueError("noise, shake_px and distractors must be 0 to 100")


EASY = Difficulty()


@dataclass(frozen=True, kw_only=True)
class Synthesis:
    """One synthetic video. Its fields decide every byte. Sizes in px. Raises BuildError for impossible fields."""

    class_name: str
    index: int
    frames: int
    width: int
    height: int
    seed: int
    difficulty: Difficulty = EASY

    def __post_init__(self) -> None:
        if self.class_name not in ALL_CLASSES:
            raise BuildError(f'no synthetic class "{self.class_name}"; known: {", ".join(ALL_CLASSES)}')
        if min(self.frames, self.width, self.height) < 1 or self.index < 0:
            raise BuildError(f"a synthetic video needs frames, width and height of at least 1, got {self}")

    def sha256(self) -> str:
        """Stands for the hash of a source file: equal if, and only if, the drawn videos are equal."""
        values = asdict(self)
        if self.difficulty == EASY:  # such videos are older than difficulties
            del values["difficulty"]
        return sha256_value({**values, "generator": GENERATOR_VERSION})

    def draw(self) -> Iterator[np.ndarray]:
        """Yield frames (3, height, width) uint8: Y, Cb and Cr, all of full size, in BT.601's studio range."""
        random = np.random.Generator(np.random.PCG64(int(self.sha256(), 16)))
        scene = _Scene.of(self.class_name, random, self.difficulty)
        shorter_px = min(self.width, self.height)
        discs = [_Disc.of(random, shorter_px) for _ in range(self.difficulty.distractors)]
        for number in range(self.frames):
            picture = np.empty((3, self.height, self.width), np.uint8)
            camera_px = random.normal(0, self.difficulty.shake_px, 2) if self.difficulty.shake_px else (0.0, 0.0)
            luma = scene.luma(number, self.height, self.width, camera_px=(camera_px[0], camera_px[1]))
            for disc in discs:
                disc.cover(luma, number, scene)
            picture[0] = self._disturbed(luma, random)
            picture[1], picture[2] = scene.chroma
            yield picture

    def _disturbed(self, luma: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """The luma with noise, (height, width) uint8, 16 to 235."""
        if self.difficulty.noise:
            luma = luma + random.normal(0, self.difficulty.noise, luma.shape)
        return np.clip(np.rint(luma), 16, 235).astype(np.uint8)

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
    direction: float  # rad, of a motion that is not along x
    gain: float  # of the texture, levels of luma
    chroma: tuple[int, int]
    angle: float  # rad, of the first frame
    phase: float  # octaves, of the first frame
    offsets: np.ndarray  # (OCTAVES, 2), in cells: what lies in the centre of the first frame
    octaves: np.ndarray  # (OCTAVES, side, side) float32, about zero, periodic

    @classmethod
    def of(cls, class_name: str, random: np.random.Generator, difficulty: Difficulty) -> "_Scene":
        if class_name in DIRECTIONS:
            kind, sign = "move", 1
        else:
            motion = class_name if class_name in MOTIONS else list(MOTIONS)[random.integers(len(MOTIONS))]
            kind, sign = MOTIONS[motion]
        slowest, fastest = SPEEDS[kind]
        tint = int(random.integers(TINT_STRENGTH[0], TINT_STRENGTH[1] + 1))
        cb, cr = TINTS.get(class_name, (0, 0))
        return cls(
            kind=kind,
            velocity=sign * random.uniform(difficulty.slowest * slowest, difficulty.fastest * fastest),
            direction=DIRECTIONS.get(class_name, 0.0),
            gain=difficulty.contrast * GAIN,
            chroma=(128 + cb * tint, 128 + cr * tint),
            angle=random.uniform(0, 2 * math.pi),
            phase=random.uniform(0, OCTAVES),
            offsets=random.uniform(0, CELLS, (OCTAVES, 2)),
            octaves=np.stack([_octave(random) for _ in range(OCTAVES)]),
        )

    def luma(self, number: int, height: int, width: int, *, camera_px: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
        """The luma of one frame, (height, width) float64. camera_px: how far the camera is from its place, (x, y)."""
        moved = number * self.velocity
        moved_px = moved if self.kind == "move" else 0.0
        angle = self.angle + (moved if self.kind == "rotate" else 0.0)
        phase = self.phase + (moved if self.kind == "zoom" else 0.0)
        x = (np.arange(width) - (width - 1) / 2 - moved_px * math.cos(self.direction))[None, :] + camera_px[0]
        y = (np.arange(height) - (height - 1) / 2 - moved_px * math.sin(self.direction))[:, None] + camera_px[1]
        return self.texture(x, y, angle=angle, phase=phase)

    def texture(self, x: np.ndarray, y: np.ndarray, *, angle: float, phase: float) -> np.ndarray:
        """The luma at (x, y) px from the centre, float64 of their common shape."""
        # The screen turns clockwise (y points down) by `angle`; so looking up a texel turns back.
        across, down = math.cos(angle) * x + math.sin(angle) * y, math.cos(angle) * y - math.sin(angle) * x
        total, power = np.zeros(np.broadcast_shapes(x.shape, y.shape)), 0.0
        first = math.ceil(-phase)
        for octave in range(first, first + VISIBLE_OCTAVES):
            place = octave + phase  # 0 to VISIBLE_OCTAVES: where in the band this octave's grain is now
            weight = math.sin(math.pi * place / VISIBLE_OCTAVES) ** 2
            cell_px = FINEST_CELL_PX * 2.0**place
            v, u = self.offsets[octave % OCTAVES]
            texels = _sample(self.octaves[octave % OCTAVES], u + across / cell_px, v + down / cell_px)
            total, power = total + weight * texels, power + weight * weight
        return MEAN + self.gain / math.sqrt(power) * total


@dataclass(frozen=True, kw_only=True)
class _Disc:
    """A distractor: a disc of texture that moves evenly through the picture and comes in again on the other side."""

    start: tuple[float, float]  # of its centre, as a share of the way around, (x, y)
    step_px: tuple[float, float]  # a frame
    radius_px: float
    offset_px: float  # from where its texture is taken

    @classmethod
    def of(cls, random: np.random.Generator, shorter_px: int) -> "_Disc":
        direction, speed_px = random.uniform(0, 2 * math.pi), random.uniform(*SPEEDS["move"])
        return cls(
            start=(random.uniform(), random.uniform()),
            step_px=(speed_px * math.cos(direction), speed_px * math.sin(direction)),
            radius_px=shorter_px * random.uniform(*DISC_SHARES),
            offset_px=random.uniform(1000, 2000),
        )

    def cover(self, luma: np.ndarray, number: int, scene: _Scene) -> None:
        """Draw the disc over the luma of a frame, (height, width) float64."""
        places = []
        for side, start, step_px in zip(luma.shape[::-1], self.start, self.step_px, strict=True):
            around_px = side + 2 * self.radius_px
            centre_px = (start * around_px + number * step_px) % around_px - self.radius_px
            places.append(np.arange(side) - centre_px)
        x, y = places[0][None, :], places[1][:, None]
        covered = x * x + y * y < self.radius_px**2
        texture = scene.texture(x + self.offset_px, y + self.offset_px, angle=scene.angle, phase=scene.phase)
        luma[covered] = texture[covered]


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
