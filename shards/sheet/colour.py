"""Draws motion as colour: hue is the direction, saturation the distance. Also draws arrows, stripes and the wheel."""

import cv2
import numpy as np

from shards.arrays import F32, U8

INK = (30, 30, 30)
ARROW_SPACING_PX = 18  # of the drawing; closer arrows blur into a texture
HATCH_PX = 6


def colour_of(motion_px: F32, *, scale_px: float) -> U8:
    """Motion (H, W, 2) in px to colours (H, W, 3) uint8 RGB. White is no motion, full colour is scale_px or more.

    Right is red, down is yellow-green, left is cyan, up is violet: hue is the angle, clockwise on the screen.
    """
    x, y = motion_px[..., 0], motion_px[..., 1]
    amount = np.minimum(np.hypot(x, y) / scale_px, 1.0)
    # In 8 bits, OpenCV's hue has only 180 steps, which one can see; in float it is continuous from 0 to 360.
    hue = np.degrees(np.arctan2(y, x)) % 360
    # Full colour is a little darker than white, so that strength also shows when the sheet is printed in grey.
    hsv = np.stack([hue, amount, 1.0 - 0.15 * amount], axis=-1).astype(np.float32)
    return np.rint(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB) * 255).astype(np.uint8)


def draw_arrows(image: U8, blocks_px: F32, *, pitch: tuple[float, float], scale_px: float) -> None:
    """Draw arrows onto `image` for the vectors of blocks, (h, w, 2) px, which are `pitch` (x, y) px apart in the image.

    Motion of scale_px gives an arrow nearly as long as the distance between arrows. Motion of less than a tenth of
    scale_px gives no arrow.
    """
    every = max(1, round(ARROW_SPACING_PX / min(pitch)))
    reach = 0.9 * every * min(pitch) / scale_px
    lengths = np.maximum(np.hypot(blocks_px[..., 0], blocks_px[..., 1]), 1e-9)
    capped = blocks_px * np.minimum(1.0, scale_px / lengths)[..., None]
    for row in range(every // 2, blocks_px.shape[0], every):
        for column in range(every // 2, blocks_px.shape[1], every):
            middle = (np.array([column, row]) + 0.5) * pitch
            half = capped[row, column] * reach / 2
            if lengths[row, column] >= 0.1 * scale_px and (middle < image.shape[1::-1]).all():
                cv2.arrowedLine(image, _point(middle - half), _point(middle + half), INK, 1, cv2.LINE_AA, 0, 0.35)


def hatch(image: U8, mask: np.ndarray) -> None:
    """Draw grey diagonal stripes onto the pixels of `mask` (H, W), where there is no vector."""
    y, x = np.indices(mask.shape)
    stripe = (x + y) // (HATCH_PX // 2) % 2 == 0
    image[mask] = np.where(stripe[mask, None], np.uint8(95), np.uint8(190))


def wheel(diameter_px: int) -> U8:
    """A disc of the colours on white, (d, d, 3) uint8 RGB: the centre is no motion, the rim is full colour."""
    axis = np.linspace(-1, 1, diameter_px, dtype=np.float32)
    motion = np.stack(np.meshgrid(axis, axis), axis=-1)
    disc = colour_of(motion, scale_px=1.0)
    disc[np.hypot(motion[..., 0], motion[..., 1]) > 1] = 255
    return disc


def scale_of(*fields_px: F32) -> float:
    """The 99th percentile of the motion, in px, over all pixels of all fields; at least 1 px."""
    magnitudes = [np.hypot(field[..., 0], field[..., 1]).ravel() for field in fields_px]
    together = np.concatenate([*magnitudes, np.zeros(0, np.float32)])
    return max(1.0, float(np.percentile(together, 99))) if together.size else 1.0


def _point(xy: np.ndarray) -> tuple[int, int]:
    return round(float(xy[0])), round(float(xy[1]))
