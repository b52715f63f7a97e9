"""The estimate of `ipdata plan`: which videos it looks at, and how far it may be off."""

from dataclasses import replace
from pathlib import Path

import pytest

from ipdata.datasets.base import Video
from ipdata.estimate import Amount, spread_over_sizes


def video(path: Path) -> Video:
    return Video(name=path.name, source=path, class_name="a", class_id=0, subsets={"split1": "train"})


def videos_of(folder: Path, sizes: list[int]) -> dict[str, Video]:
    found = {}
    for number, size in enumerate(sizes):
        path = folder / f"{number:03}.avi"
        path.write_bytes(bytes(size))
        found[path.stem] = video(path)
    return found


def test_probed_videos_are_spread_over_the_sizes_of_the_files(tmp_path: Path) -> None:
    sizes = [(37 * number) % 100 for number in range(100)]
    found = videos_of(tmp_path, sizes)
    assert [sizes[int(key)] for key in spread_over_sizes(found, 4)] == [12, 37, 62, 87]
    assert sorted(spread_over_sizes(found, 1000)) == sorted(found)
    gone = replace(found["000"], source=tmp_path / "gone.avi")
    assert spread_over_sizes({"gone": gone, **found}, 101)[0] == "000"  # of 0 bytes, as what is gone counts


def test_an_amount_is_scaled_up_with_two_standard_errors() -> None:
    amount = Amount.of([1.0, 3.0, 5.0, 7.0], videos=100)
    assert amount.mean == 400.0
    assert amount.spread == pytest.approx(2 * 100 * (20 / 3) ** 0.5 / 2)
    assert (amount.low, amount.high) == (pytest.approx(400 - 258.2, abs=0.1), pytest.approx(658.2, abs=0.1))
    assert amount.said("{:.0f} s".format) == "about 400 s, likely 142 s to 658 s"


def test_an_amount_is_never_below_nothing_and_says_what_it_does_not_know() -> None:
    assert Amount.of([0.0, 10.0], videos=2).low == 0.0
    assert Amount.of([2.0, 2.0], videos=2).said("{:g}".format) == "about 4"
    assert Amount.of([2.0], videos=3).said("{:g}".format) == "about 6, from one video, so its spread is not known"
