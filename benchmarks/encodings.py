"""Measures what each stored encoding costs: bytes, time to encode and decode, and error."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np

from benchmarks.material import BOUND, RECIPE, SIZE, pictures_of, transcoded
from ipdata.columns.flow import estimator
from ipdata.columns.residual import DEFINITIONS, definition_of
from ipdata.kernels.prediction import predicted_i420
from ipdata.recipe import load_recipe
from ipdata.video import decode
from shards.columns.flow import FLOW
from shards.columns.jpeg import decode_jpeg, encode_jpeg
from shards.motion import compensate, planes, residual

FRAMES = 26  # of each clip: a little more than two GOPs
RECIPES = ("compact", "default", "faithful")
LOSSLESS = {"WebP": (".webp", [cv2.IMWRITE_WEBP_QUALITY, 101]), "PNG 1": (".png", [cv2.IMWRITE_PNG_COMPRESSION, 1])}


@dataclass
class Material:
    """Frames of the real clips as stored arrays (uint8) before encoding, and the exact values of two columns."""

    iframes: list[np.ndarray] = field(default_factory=list)
    residuals: dict[str, list[np.ndarray]] = field(default_factory=lambda: {name: [] for name in DEFINITIONS})
    exact: list[np.ndarray] = field(default_factory=list)  # the `previous` residual, not clipped
    flows: list[np.ndarray] = field(default_factory=list)  # u above v, stored levels, of every fourth frame
    exact_flows: list[np.ndarray] = field(default_factory=list)  # px


def material_of(clips: Sequence[Path]) -> Material:
    material = Material()
    estimate = estimator(RECIPE.columns["flow"], **SIZE)
    for clip in clips:
        pictures = pictures_of(clip, FRAMES)
        material.iframes += [picture.rgb for picture in pictures if picture.mv is None]
        encoders = {name: definition_of(name) for name in DEFINITIONS}
        for number, (previous, picture) in enumerate(pairwise(pictures)):
            if picture.mv is None:
                continue
            material.exact.append(residual(picture.rgb, previous.rgb, picture.mv))
            for name, encode in encoders.items():
                material.residuals[name].append(encode(picture, previous))
            if number % 4 == 0:
                flow_px = estimate(previous.luma[None], picture.luma[None])[0]
                material.exact_flows.append(np.concatenate(list(np.moveaxis(flow_px, -1, 0))))
                stored = FLOW.store(flow_px, BOUND)
                material.flows.append(np.concatenate(list(np.moveaxis(stored, -1, 0))))
    return material


@dataclass(frozen=True)
class Cost:
    """Mean bytes and times of encoding some images on one thread, and the decoded images."""

    frame_bytes: float
    encode_ms: float
    decode_ms: float
    decoded: list[np.ndarray]

    def cells(self) -> str:
        return f"{self.frame_bytes:.0f} | {self.encode_ms:.2f} | {self.decode_ms:.2f}"


def cost_of(
    images: list[np.ndarray], encode: Callable[[np.ndarray], bytes], decode: Callable[[bytes], np.ndarray]
) -> Cost:
    start = time.perf_counter()
    encoded = [encode(image) for image in images]
    middle = time.perf_counter()
    decoded = [decode(data) for data in encoded]
    end = time.perf_counter()
    each_ms = 1000 / len(images)
    frame_bytes = float(np.mean([len(data) for data in encoded]))
    return Cost(frame_bytes, (middle - start) * each_ms, (end - middle) * each_ms, decoded)


def jpeg_cost(images: list[np.ndarray], quality: int, chroma: str = "4:2:0") -> Cost:
    grey = images[0].ndim == 2
    return cost_of(
        images,
        lambda image: encode_jpeg(image, quality=quality, chroma=chroma),
        lambda data: decode_jpeg(data, grey=grey),
    )


def lossless_cost(images: list[np.ndarray], suffix: str, parameters: list[int]) -> Cost:
    return cost_of(
        images,
        lambda image: cv2.imencode(suffix, image, parameters)[1].tobytes(),
        lambda data: cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR),  # type: ignore[arg-type, return-value]
    )


def encodings_table(material: Material) -> str:
    """A table of means over the real clips. Errors are in grey levels, for flow in px; clipping counts as error."""
    rows = ["| column | encoding | bytes a frame | encode, ms | decode, ms | mean error | error against R's RMS |"]
    rows.append("| --- " * 7 + "|")
    rms = _rms(material.exact)
    stored = material.residuals["previous"]

    def residual_row(name: str, cost: Cost) -> str:
        errors = [image.astype(int) - 128 - exact for image, exact in zip(cost.decoded, material.exact, strict=True)]
        mean = np.mean([np.abs(error).mean() for error in errors])
        return f"| residual | {name} | {cost.cells()} | {mean:.2f} | {_rms(errors) / rms:.0%} |"

    for quality, chroma in ((90, "4:2:0"), (95, "4:2:0"), (95, "4:4:4"), (100, "4:4:4")):
        rows.append(residual_row(f"JPEG {quality} {chroma}", jpeg_cost(stored, quality, chroma)))
    for name, (suffix, parameters) in LOSSLESS.items():
        rows.append(residual_row(f"{name}, lossless", lossless_cost(stored, suffix, parameters)))
    for definition in ("accumulated", "codec"):
        cost = jpeg_cost(
            material.residuals[definition], RECIPE.columns["residual"].quality, RECIPE.columns["residual"].chroma
        )
        rows.append(f"| residual, `{definition}` | JPEG 95 4:4:4 | {cost.cells()} | | |")
    for quality, chroma in ((90, "4:2:0"), (95, "4:2:0"), (100, "4:4:4")):
        cost = jpeg_cost(material.iframes, quality, chroma)
        error = np.mean([np.abs(a.astype(int) - b) for a, b in zip(cost.decoded, material.iframes, strict=True)])
        rows.append(f"| iframe | JPEG {quality} {chroma} | {cost.cells()} | {error:.2f} | |")
    for quality in (90, 95, 100):
        cost = jpeg_cost(material.flows, quality)
        restored = [FLOW.restore(image, BOUND) for image in cost.decoded]
        error = np.mean([np.abs(a - b) for a, b in zip(restored, material.exact_flows, strict=True)])
        rows.append(f"| flow | JPEG {quality} grey, u above v | {cost.cells()} | {error:.3f} px | |")
    return "\n".join(rows)


def recipes_table(material: Material) -> str:
    """A table of bytes and times for each recipe, as means over the frames of a GOP: an I-frame and 11 P-frames."""
    rows = ["| recipe | iframe | residual | flow | the three together, KB a video frame | encode, ms | decode, ms |"]
    rows.append("| --- " * 7 + "|")
    for name in RECIPES:
        recipe = load_recipe(name)
        gop = recipe.transcode.gop
        costs = {
            "iframe": (
                jpeg_cost(material.iframes, recipe.columns["iframe"].quality, recipe.columns["iframe"].chroma),
                1 / gop,
            ),
            "residual": (
                jpeg_cost(
                    material.residuals["previous"],
                    recipe.columns["residual"].quality,
                    recipe.columns["residual"].chroma,
                ),
                1 - 1 / gop,
            ),
            "flow": (jpeg_cost(material.flows, recipe.columns["flow"].quality), 1 - 1 / gop),
        }
        each = " | ".join(f"{cost.frame_bytes:.0f}" for cost, _ in costs.values())
        sums = [
            sum(share * getattr(cost, what) for cost, share in costs.values())
            for what in ("frame_bytes", "encode_ms", "decode_ms")
        ]
        rows.append(f"| `{name}` | {each} | {sums[0] / 1000:.1f} | {sums[1]:.2f} | {sums[2]:.2f} |")
    return "\n".join(rows)


def codec_table(clips: Sequence[Path]) -> str:
    """A table of the share of 16x16 luma blocks whose residual is zero, for each way of predicting them."""
    head = "| clip | quantiser | alternating rounding (`codec`) | rounding 0 | rounding 1 | whole px (`previous`) |"
    rows = [head, "| --- " * 6 + "|"]
    for clip in clips:
        for quantiser in (2, 31):
            settings = replace(RECIPE.transcode, quantiser=quantiser)
            with transcoded(clip, settings, frames=2 * FRAMES) as m4v:
                shares = " | ".join(f"{share:.1%}" for share in _zero_shares(m4v))
            rows.append(f"| {clip.stem[:40]} | {quantiser} | {shares} |")
    return "\n".join(rows)


def _zero_shares(m4v: Path) -> list[float]:
    zero: list[list[float]] = []
    rounding = 0
    for previous, picture in pairwise(decode.pictures(m4v)):
        if picture.mv is None:
            rounding = 0
            continue
        rounding = 1 - rounding
        luma, before = planes(picture.i420)[0], planes(previous.i420)[0]
        predicted = [planes(predicted_i420(previous.i420, picture.mv, rounding=r))[0] for r in (rounding, 0, 1)]
        zero.append([_zero_blocks(luma != guess) for guess in (*predicted, compensate(before, picture.mv))])
    return [float(share) for share in np.mean(zero, axis=0)]


def _zero_blocks(different: np.ndarray) -> float:
    rows, columns = different.shape[0] // 16, different.shape[1] // 16
    blocks = different[: rows * 16, : columns * 16].reshape(rows, 16, columns, 16)
    return float(1 - blocks.any(axis=(1, 3)).mean())


def _rms(arrays: list[np.ndarray]) -> float:
    return float(np.sqrt(np.mean([(array.astype(float) ** 2).mean() for array in arrays])))
