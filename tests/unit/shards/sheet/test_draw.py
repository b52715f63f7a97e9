"""The contact sheet: its colours and marks mean what the legend says."""

from dataclasses import replace
from pathlib import Path

import made_sets
import numpy as np
import pytest

from shards import ShardError, ShardSet
from shards.columns.flow import FLOW
from shards.columns.iframe import IFRAME
from shards.columns.mv import MV
from shards.columns.residual import MAX_GAIN, gain_of, stretch
from shards.columns.video import VIDEO
from shards.motion import INTRA
from shards.sheet import cells, colour, draw
from shards.sheet.frames import Frames, Strip, evenly, read

RIGHT, LEFT, DOWN, UP = (1, 0), (-1, 0), (0, 1), (0, -1)


def colour_at(motion_px: tuple[float, float], scale_px: float = 1.0) -> list[int]:
    return colour.colour_of(np.float32(motion_px).reshape(1, 1, 2), scale_px=scale_px)[0, 0].tolist()


def test_white_stands_still_and_strength_grows_with_motion() -> None:
    assert colour_at((0, 0)) == [255, 255, 255]
    saturations = [max(c) - min(c) for c in (colour_at((share, 0)) for share in (0, 0.25, 0.5, 0.75, 1))]
    assert saturations == sorted(set(saturations))
    assert colour_at((5, 0)) == colour_at((1, 0))  # beyond the scale no colour is stronger
    assert colour_at((3, 0), scale_px=6) == colour_at((0.5, 0))


def test_directions_have_colours_of_their_own() -> None:
    red, cyan = colour_at(RIGHT), colour_at(LEFT)
    assert red.index(max(red)) == 0
    assert cyan[0] == min(cyan)
    assert cyan[1] == cyan[2]
    down, up = colour_at(DOWN), colour_at(UP)
    assert down.index(max(down)) == 1
    assert up.index(max(up)) == 2


def test_the_legend_wheel_shows_the_same_code() -> None:
    disc = colour.wheel(61)
    assert disc[30, 30].tolist() == [255, 255, 255]
    assert disc[0, 0].tolist() == [255, 255, 255]
    assert disc[30, 60].tolist() == colour_at(RIGHT)
    assert disc[60, 30].tolist() == colour_at(DOWN)


def test_the_scale_is_the_99th_percentile_over_both_fields_and_at_least_1_px() -> None:
    still, fast = np.zeros((10, 10, 2), np.float32), np.full((10, 10, 2), (3, 4), np.float32)
    assert colour.scale_of(still, still) == 1
    assert colour.scale_of(still, fast) == pytest.approx(5)
    fast[0, 0] = 1000  # half a percent of all
    assert colour.scale_of(still, fast) == pytest.approx(5)
    assert colour.scale_of() == 1


VIEW = cells.View(size=(64, 48), cell=(224, 168), scale_px=4.0)


def vectors(x: int, y: int) -> np.ndarray:
    mv = np.zeros((3, 4, 2), np.int16)
    mv[:] = (x, y)
    return mv


def test_vectors_and_flow_of_equal_motion_have_equal_colours_and_arrows() -> None:
    mv, flow_px = vectors(6, -2), np.full((48, 64, 2), (3, -1), np.float32)
    of_mv = VIEW.vectors(mv)
    of_flow = VIEW.flow(flow_px)
    np.testing.assert_array_equal(of_mv, of_flow)
    assert (of_mv.max(axis=-1) < 100).sum() > 50  # there are arrows


def test_arrows_point_where_the_content_goes() -> None:
    image = np.full((20, 60, 3), 255, np.uint8)
    colour.draw_arrows(image, np.float32([[[8, 0]]]), pitch=(60, 20), scale_px=8)
    ink = (image < 255).any(axis=(0, 2)).nonzero()[0]
    rows = [(image[:, x] < 255).any(axis=-1).sum() for x in (ink[1], ink[-3])]
    assert rows[1] > rows[0]  # the head, on the right, is taller than the shaft


def test_intra_macroblocks_are_striped_and_the_legend_says_so() -> None:
    mv = vectors(0, 0)
    mv[1, 2] = INTRA
    cell = VIEW.vectors(mv)
    intra = cell[56:112, 112:168]
    assert sorted(np.unique(intra)) == [95, 190]
    assert (cell[:56] == 255).all()
    frames = Frames(title="t", size=(64, 48), heads=["P"], strips=[Strip(MV, [mv], [1])])
    without = replace(frames, strips=[Strip(MV, [vectors(0, 0)], [1])])
    legends = [draw.draw(f)[-draw.LEGEND_PX :] for f in (frames, without)]
    grey = [((legend == 95).all(axis=-1) | (legend == 190).all(axis=-1)).sum() for legend in legends]
    assert grey[0] > 300
    assert grey[1] < 30


def test_weak_residuals_are_stretched_and_strong_ones_are_not() -> None:
    weak, strong = (np.tile(np.int16([-a, a]), (16, 8))[..., None].repeat(3, axis=-1) for a in (5, 120))
    assert gain_of([weak]) == 16
    assert gain_of([weak, strong]) == 1
    assert gain_of([np.zeros((4, 4, 3), np.int16)]) == MAX_GAIN
    assert np.unique(stretch(weak, 16)).tolist() == [48, 208]
    assert np.unique(stretch(strong, 16)).tolist() == [0, 255]


@pytest.mark.parametrize(
    ("count", "wanted", "positions"),
    [(1, 8, [0]), (3, 8, [0, 1, 2]), (16, 8, [1, 3, 5, 7, 9, 11, 13, 15]), (10, 3, [1, 5, 8]), (5, 1, [2])],
)
def test_frames_are_spread_evenly(count: int, wanted: int, positions: list[int]) -> None:
    assert evenly(count, wanted) == positions


def test_without_a_video_that_decodes_each_p_frame_stands_below_the_i_frame_before_it(made: ShardSet) -> None:
    key = made_sets.scenes()[1].key  # 15 frames, I at 0 and 12
    frames = read(made, key, frames=13)
    numbers = [int(head.removeprefix("P-frame ")) for head in frames.heads]
    assert numbers == [*range(1, 12), 13, 14]
    iframes, vectors_below = frames.strips[0], frames.strips[1]
    assert (iframes.column, vectors_below.column) == (IFRAME, MV)
    assert iframes.numbers == [0] * 11 + [12] * 2
    assert vectors_below.numbers == numbers
    np.testing.assert_array_equal(iframes.frames[-1], made.read(key, "iframe")[1])
    np.testing.assert_array_equal(vectors_below.frames[-1], made.read(key, "mv")[-1])


def rows_of(image: np.ndarray) -> int:
    """The number of rows on a sheet of 64x48 px pictures, computed from its height."""
    rest = image.shape[0] - draw.TITLE_PX - draw.HEADER_PX
    return rest // (168 + draw.GAP_PX)


def test_a_sheet_has_a_row_for_each_column_of_the_set(tmp_path: Path, made: ShardSet) -> None:
    key = made_sets.scenes()[0].key
    assert rows_of(draw.sheet_of(made, key)) == 4
    for columns, rows in ((["mv"], 1), (["iframe"], 1), (["iframe", "flow"], 2), (["residual", "video"], 1)):
        made_sets.make_set(tmp_path / columns[0] / str(rows), columns=columns)
        image = draw.sheet_of(ShardSet(tmp_path / columns[0] / str(rows)), key)
        assert rows_of(image) == rows
        assert image.dtype == np.uint8


def test_a_video_without_p_frames_shows_its_i_frame(tmp_path: Path, made: ShardSet) -> None:
    key = made_sets.scenes()[-1].key
    frames = read(made, key, frames=8)
    assert frames.heads == ["I-frame 0"]
    assert rows_of(draw.draw(frames)) == 1
    made_sets.make_set(tmp_path, columns=["mv"])
    with pytest.raises(ShardError, match="has no P-frames, and the set has no column iframe"):
        draw.sheet_of(ShardSet(tmp_path), key)


def test_a_set_of_bitstreams_alone_cannot_be_drawn(tmp_path: Path) -> None:
    made_sets.make_set(tmp_path, columns=["video"])
    with pytest.raises(ShardError, match="has none of the columns iframe, mv, residual, flow"):
        draw.sheet_of(ShardSet(tmp_path), made_sets.scenes()[0].key)


@pytest.mark.parametrize("size", [(340, 256), (112, 84), (64, 480), (16, 16)])
def test_any_picture_size_gives_a_sheet_of_bounded_cells(size: tuple[int, int]) -> None:
    grid = -(-size[1] // 16), -(-size[0] // 16)
    frames = Frames(
        title="a title that is much longer than the sheet is wide " * 9,
        size=size,
        heads=["P-frame 1"],
        strips=[
            Strip(MV, [np.full((*grid, 2), 4, np.int16)], [1]),
            Strip(FLOW, [np.full((size[1], size[0], 2), 2, np.float32)], [1]),
        ],
    )
    image = draw.draw(frames)
    assert image.shape[1] <= draw.LABEL_PX + draw.MIN_WIDTH_PX
    assert image.shape[0] <= 2 * (draw.CELL_PX + draw.GAP_PX) + 200


def test_vectors_are_pale_where_the_picture_is_the_same_and_duplicates_are_marked() -> None:
    mv, levels = vectors(8, 0), np.full((3, 4), 9, np.float32)
    levels[0, 0] = 1.0
    strips = [Strip(VIDEO, [np.zeros((48, 64, 3), np.uint8)], [1]), Strip(MV, [mv], [1])]
    frames = Frames(title="t", size=(64, 48), heads=["P"], strips=strips, changes={1: levels})
    view = replace(VIEW, changes=frames.changes)
    full, faded = VIEW.vectors(mv), view.vectors(mv, still=view.still(1))
    block = full.shape[0] // 3, full.shape[1] // 4
    assert (faded[: block[0], : block[1]].min(), full[: block[0], : block[1]].min()) > (180, 0)
    np.testing.assert_array_equal(faded[block[0] :], full[block[0] :])
    row = MV.draw([mv], [1], view)
    assert row.faded and not MV.draw([vectors(0, 0)], [1], view).faded and not MV.draw([mv], [1], VIEW).faded
    assert VIDEO.draw(strips[0].frames, [1], view).cells[0].max() == 0  # no tag: only one macroblock is the same
    twice = replace(frames, changes={1: np.full((3, 4), 2.0, np.float32)})
    assert VIDEO.draw(strips[0].frames, [1], replace(VIEW, changes=twice.changes)).cells[0].max() == 255
    legends = [draw.draw(f)[-draw.LEGEND_PX :] for f in (replace(frames, changes={}), frames, twice)]
    ink = [int((legend[:, 500:] < 128).any(axis=-1).sum()) for legend in legends]
    assert ink[0] == 0 < ink[1] < 9999 and ink[2] > 0


def test_rows_of_unequal_length_are_refused() -> None:
    with pytest.raises(ShardError, match="rows of 2 frames each"):
        Frames(title="t", size=(64, 48), heads=["a", "b"], strips=[Strip(MV, [vectors(0, 0)], [1])])
