"""What each stored encoding costs: bytes, time to encode and decode, error. DESIGN's table, made reproducible."""

import time
from itertools import pairwise
from pathlib import Path

import numpy as np

from ipdata import decode
from ipdata.flow import estimator
from ipdata.recipe import BuildRecipe
from ipdata.residual import stored_residual
from ipdata.transcode import executable, transcode
from shards.encodings import decode_jpeg, encode_jpeg, restore_flow, store_flow
from shards.motion import residual

FRAMES = 26  # of each clip: two GOPs and a bit
HEAD = "| column | encoding | bytes a frame | encode, ms | decode, ms | mean error | error against R's RMS |"


def encodings_table(clips: list[Path], recipe: BuildRecipe) -> str:
    """Means over the real clips, one thread. Errors in grey levels, of flow in px."""
    iframes, residuals, flows = _material(clips, recipe)
    rms = float(np.sqrt(np.mean([(r.astype(float) ** 2).mean() for _, r in residuals])))
    rows = [HEAD, "| --- | --- | --- | --- | --- | --- | --- |"]
    for quality, chroma in ((95, "4:4:4"), (95, "4:2:0"), (90, "4:2:0")):
        size, encode_ms, decode_ms, images = _through_jpeg([s for s, _ in residuals], quality, chroma)
        errors = [np.abs(image.astype(int) - 128 - r) for image, (_, r) in zip(images, residuals, strict=True)]
        error, rmse = np.mean(errors), np.sqrt(np.mean([(e.astype(float) ** 2).mean() for e in errors]))
        cells = f"{size:.0f} | {encode_ms:.2f} | {decode_ms:.2f} | {error:.2f} | {rmse / rms:.0%}"
        rows.append(f"| residual | JPEG {quality} {chroma} | {cells} |")
    for quality, chroma in ((95, "4:2:0"), (90, "4:2:0")):
        size, encode_ms, decode_ms, images = _through_jpeg(iframes, quality, chroma)
        error = np.mean([np.abs(a.astype(int) - b) for a, b in zip(images, iframes, strict=True)])
        rows.append(
            f"| iframe | JPEG {quality} {chroma} | {size:.0f} | {encode_ms:.2f} | {decode_ms:.2f} | {error:.2f} | |"
        )
    for quality in (95, 90):
        bound_px = recipe.flow.bound_px
        planes = [np.concatenate(list(np.moveaxis(store_flow(f, bound_px=bound_px), -1, 0))) for f in flows]
        size, encode_ms, decode_ms, images = _through_jpeg(planes, quality, "4:2:0")
        exact = [np.concatenate(list(np.moveaxis(f, -1, 0))) for f in flows]
        restored = [restore_flow(image, bound_px=bound_px) for image in images]
        error = np.mean([np.abs(a - b) for a, b in zip(restored, exact, strict=True)])
        cells = f"{size:.0f} | {encode_ms:.2f} | {decode_ms:.2f} | {error:.3f} px"
        rows.append(f"| flow | JPEG {quality} grey, u above v | {cells} | |")
    return "\n".join(rows)


def _material(clips: list[Path], recipe: BuildRecipe) -> tuple[list, list, list]:
    """I-frames; (stored, exact) residuals; every fourth flow field."""
    iframes, residuals, flows = [], [], []
    estimate = estimator(recipe.flow, width=recipe.transcode.width, height=recipe.transcode.height)
    for clip in clips:
        pictures = list(decode.pictures(transcode(clip, recipe.transcode, limit_frames=FRAMES, path=executable())))
        iframes += [picture.rgb for picture in pictures if picture.mv is None]
        for number, (previous, picture) in enumerate(pairwise(pictures)):
            if picture.mv is not None:
                exact = residual(picture.rgb, previous.rgb, picture.mv)
                residuals.append((stored_residual(picture.rgb, previous.rgb, picture.mv), exact))
                if number % 4 == 0:
                    flows.append(estimate(previous.luma[None], picture.luma[None])[0])
    return iframes, residuals, flows


def _through_jpeg(images: list[np.ndarray], quality: int, chroma: str) -> tuple[float, float, float, list[np.ndarray]]:
    """Mean bytes, mean ms to encode and to decode, and what comes back."""
    start = time.perf_counter()
    encoded = [encode_jpeg(image, quality=quality, chroma=chroma) for image in images]
    middle = time.perf_counter()
    decoded = [decode_jpeg(data, grey=images[0].ndim == 2) for data in encoded]
    end = time.perf_counter()
    each_ms = 1000 / len(images)
    return float(np.mean([len(d) for d in encoded])), (middle - start) * each_ms, (end - middle) * each_ms, decoded
