"""Medians of 3x3 and 5x5 px, compiled. They select by comparisons alone, which vector instructions do."""

from ipdata.kernels.compiled import compiled
from ipdata.kernels.memory import LANES, padded_px
from shards.arrays import F32

# Hash of the files of this folder that are compiled in (tests/unit/ipdata/kernels/test_compiled.py): 547c0e1d6407

REACH_PX = 2  # of the larger window to each side


def framed_shape(height: int, width: int) -> tuple[int, int]:
    """Shape of a copy of a plane with room around it, where pixel (y, x) is at [y + REACH_PX, x + LANES]."""
    return height + 2 * REACH_PX, padded_px(width) + 2 * LANES


@compiled
def median(plane: F32, width: int, side_px: int, framed: F32, columns: F32) -> None:
    """The median of side_px squared (3 or 5) around each pixel, in place; edges are repeated, as in OpenCV's.

    plane: (h, padded width or more); its padding gets anything. framed, see framed_shape, and columns (5, framed's
    width) are scratch.
    """
    height = plane.shape[0]
    for y in range(height + 2 * REACH_PX):
        row, source = framed[y], plane[min(max(y - REACH_PX, 0), height - 1)]
        for x in range(width):
            row[x + LANES] = source[x]
        for x in range(REACH_PX):
            row[LANES - 1 - x], row[LANES + width + x] = source[0], source[width - 1]
    for y in range(height):
        if side_px == 5:
            _sort_columns_of_5(framed[y : y + 5], columns)
            _medians_of_5(columns, plane[y], padded_px(width))
        else:
            _sort_columns_of_3(framed[y + 1 : y + 4], columns)
            _medians_of_3(columns, plane[y], padded_px(width))


@compiled
def _sort_columns_of_5(rows: F32, columns: F32) -> None:
    for x in range(rows.shape[1]):
        ordered = _sorted_5(rows[0, x], rows[1, x], rows[2, x], rows[3, x], rows[4, x])
        columns[0, x], columns[1, x], columns[2, x], columns[3, x], columns[4, x] = ordered


@compiled
def _medians_of_5(columns: F32, out: F32, count: int) -> None:
    """Medians of 25 values each, 5 neighbouring columns that are sorted.

    Sorting the rows leaves the columns sorted. Then (i + 1)(j + 1) - 1 values are not larger than the one in row i and
    column j, and (5 - i)(5 - j) - 1 are not smaller. So the median lies on one of the diagonals i + j = 3, 4 and 5.
    Which of their smallest and largest values it is, was found by trying all cases of 0 and 1; a test tries them again.
    """
    left = LANES - 2
    a, b, c, d, e = columns[0, left:], columns[1, left:], columns[2, left:], columns[3, left:], columns[4, left:]
    for x in range(count):
        _, _, _, a3, a4 = _sorted_5(a[x], a[x + 1], a[x + 2], a[x + 3], a[x + 4])
        _, _, b2, b3, b4 = _sorted_5(b[x], b[x + 1], b[x + 2], b[x + 3], b[x + 4])
        _, c1, c2, c3, _ = _sorted_5(c[x], c[x + 1], c[x + 2], c[x + 3], c[x + 4])
        d0, d1, d2, _, _ = _sorted_5(d[x], d[x + 1], d[x + 2], d[x + 3], d[x + 4])
        e0, e1, _, _, _ = _sorted_5(e[x], e[x + 1], e[x + 2], e[x + 3], e[x + 4])
        _, _, low2, low3 = _sorted_4(a3, b2, c1, d0)
        _, _, middle2, middle3, _ = _sorted_5(a4, b3, c2, d1, e0)
        high0, high1, _, _ = _sorted_4(b4, c3, d2, e1)
        either = _larger(_smaller(middle3, high0), _smaller(middle2, high1))
        out[x] = _larger(_larger(low2, _smaller(middle2, high0)), _smaller(low3, either))


@compiled
def _sort_columns_of_3(rows: F32, columns: F32) -> None:
    for x in range(rows.shape[1]):
        columns[0, x], columns[1, x], columns[2, x] = _sorted_3(rows[0, x], rows[1, x], rows[2, x])


@compiled
def _medians_of_3(columns: F32, out: F32, count: int) -> None:
    """Medians of 9 values each, 3 neighbouring columns that are sorted."""
    a, b, c = columns[0, LANES - 1 :], columns[1, LANES - 1 :], columns[2, LANES - 1 :]
    for x in range(count):
        _, _, low = _sorted_3(a[x], a[x + 1], a[x + 2])
        _, middle, _ = _sorted_3(b[x], b[x + 1], b[x + 2])
        high, _, _ = _sorted_3(c[x], c[x + 1], c[x + 2])
        _, out[x], _ = _sorted_3(low, middle, high)


@compiled
def _smaller(a: float, b: float) -> float:
    return a if a < b else b


@compiled
def _larger(a: float, b: float) -> float:
    return b if a < b else a


@compiled
def _sorted_3(a: float, b: float, c: float) -> tuple[float, float, float]:
    a, b = _smaller(a, b), _larger(a, b)
    b, c = _smaller(b, c), _larger(b, c)
    return _smaller(a, b), _larger(a, b), c


@compiled
def _sorted_4(a: float, b: float, c: float, d: float) -> tuple[float, float, float, float]:
    a, b, c, d = _smaller(a, b), _larger(a, b), _smaller(c, d), _larger(c, d)
    a, c, b, d = _smaller(a, c), _larger(a, c), _smaller(b, d), _larger(b, d)
    return a, _smaller(b, c), _larger(b, c), d


@compiled
def _sorted_5(a: float, b: float, c: float, d: float, e: float) -> tuple[float, float, float, float, float]:
    a, b, d, e = _smaller(a, b), _larger(a, b), _smaller(d, e), _larger(d, e)
    c, e = _smaller(c, e), _larger(c, e)
    c, d = _smaller(c, d), _larger(c, d)
    b, e = _smaller(b, e), _larger(b, e)
    a, d = _smaller(a, d), _larger(a, d)
    a, c = _smaller(a, c), _larger(a, c)
    b, d = _smaller(b, d), _larger(b, d)
    b, c = _smaller(b, c), _larger(b, c)
    return a, b, c, d, e
