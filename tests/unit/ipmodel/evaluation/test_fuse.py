"""Late fusion, on made-up scores and on CoViAR's published ones."""

from pathlib import Path

import numpy as np
import pytest

from ipmodel.errors import ModelError
from ipmodel.evaluation.fuse import ScoreTable, fuse, load_scores, matched, only

STREAMS = {"i": "iframe", "mv": "mv", "r": "residual", "flow": "flow"}


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ({"i": 1}, 51.72),
        ({"mv": 1}, 39.54),
        ({"r": 1}, 43.46),
        ({"flow": 1}, 52.09),
        ({"i": 2, "mv": 1, "r": 1}, 59.43),
        ({"i": 2, "mv": 1, "r": 1, "flow": 1}, 63.09),
        ({"i": 1, "flow": 1}, 63.07),
    ],
)
def test_published_scores_give_the_published_accuracies(data: Path, weights: dict[str, float], expected: float) -> None:
    """Mean of HMDB51's three splits, raw logits, videos matched by name."""
    shares = []
    for split in (1, 2, 3):
        files = [data / "scores" / f"hmdb51_coviar__{STREAMS[s]}__split{split}__{STREAMS[s]}.npz" for s in weights]
        shares.append(fuse([load_scores(file) for file in files], list(weights.values())).top1)
    assert 100 * np.mean(shares) == pytest.approx(expected, abs=0.01)


def table(**changes: object) -> ScoreTable:
    values = {"names": ["a", "b", "c"], "labels": np.array([0, 1, 2]), "logits": np.eye(3), "classes": ("x", "y", "z")}
    return ScoreTable(**{**values, **changes})  # type: ignore[arg-type]


def test_videos_are_matched_by_name_and_not_by_row() -> None:
    other = table(names=["c", "a", "b"], labels=np.array([2, 0, 1]), logits=np.roll(np.eye(3), 1, axis=0) * 10)
    fused = fuse([table(), other], [1, 0.5])
    assert np.array_equal(fused.logits, 6 * np.eye(3)) and fused.names == ["a", "b", "c"]
    spelled = table(names=["clip/a (1).avi", "b", "c"])
    assert fuse([spelled, table(names=["clip/a__1_.avi", "b", "c"])]).top1 == 1


def test_features_follow_their_videos_and_are_saved(tmp_path: Path) -> None:
    featured = table(features=np.arange(6, dtype=np.float32).reshape(3, 2))
    featured.save(tmp_path / "p.npz")
    read = load_scores(tmp_path / "p.npz")
    assert read.features is not None and np.array_equal(read.features, featured.features)
    other = table(names=["c", "a", "b"], labels=np.array([2, 0, 1]))
    _, aligned = matched([other, read])
    assert aligned.features is not None and aligned.features.tolist() == [[4, 5], [0, 1], [2, 3]]
    part = only(read, {"b"})
    assert part.features is not None and part.features.tolist() == [[2, 3]]
    with pytest.raises(ModelError, match=r"features of 3 videos must be \(videos, channels\), got \(2, 2\)"):
        table(features=np.zeros((2, 2), np.float32))
    np.savez(tmp_path / "words.npz", scores=np.eye(2), labels=[0, 1], names=["a", "b"], features=["x", "y"])
    with pytest.raises(ModelError, match="features must be numbers"):
        load_scores(tmp_path / "words.npz")


def test_keys_go_before_names_where_all_tables_have_the_same(tmp_path: Path) -> None:
    order = [2, 0, 1]
    keyed = table(keys=["a-1", "b-2", "c-3"])
    renamed = ScoreTable([*"xyz"], np.array(order), np.eye(3)[order], keys=["c-3", "a-1", "b-2"])
    fused = fuse([keyed, renamed])
    assert np.array_equal(fused.logits, 2 * np.eye(3)) and fused.names == ["a", "b", "c"] and fused.keys == keyed.keys
    np.savez(tmp_path / "keys.npz", scores=renamed.logits, labels=renamed.labels, keys=np.array(renamed.keys))
    assert np.array_equal(fuse([keyed, load_scores(tmp_path / "keys.npz")]).logits, fused.logits)
    assert np.array_equal(fuse([keyed, table()]).logits, fused.logits)  # one has names alone
    other = ["a-9", "b-9", "c-9"]
    assert np.array_equal(fuse([keyed, table(keys=other)]).logits, fused.logits)  # another set's keys, the same names
    with pytest.raises(ModelError, match="must hold the same videos; 2 are in one of them alone"):
        fuse([keyed, table(keys=other, names=["a", "b", "z"])])
    with pytest.raises(ModelError, match="3 videos have 2 keys"):
        table(keys=["a-1", "b-2"])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            table(names=["a", "b", "d"]),
            "score files 1 and 2 must hold the same videos; 2 are in one of them alone, such as c",
        ),
        (table(labels=np.array([0, 2, 1])), "has other labels than the first"),
        (table(classes=("x", "z", "y")), "file 2 has other classes"),
        (table(logits=np.ones((3, 4)), classes=()), "has 4 classes, not 3"),
        (table(names=["a", "a", "c"]), "two videos of one score file are called a"),
    ],
)
def test_tables_that_do_not_belong_together_are_refused(other: ScoreTable, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        fuse([table(), other])


def test_classes_are_compared_though_the_first_table_has_none() -> None:
    assert fuse([table(classes=()), table()]).classes == ("x", "y", "z")
    with pytest.raises(ModelError, match="score file 3 has other classes"):
        fuse([table(classes=()), table(), table(classes=("x", "z", "y"))])


def test_broken_tables_are_refused() -> None:
    for wrong, message in [
        ({"logits": np.full((3, 3), np.nan)}, "not finite"),
        ({"labels": np.array([0, 1])}, "scores of 3 videos"),
        ({"labels": np.array([0, 1, 3])}, "labels reach from 0 to 3"),
        ({"classes": ("x",)}, "1 class names for 3"),
    ]:
        with pytest.raises(ModelError, match=message):
            table(**wrong)
    with pytest.raises(ModelError, match="give each file one"):
        fuse([table()], [1, 2])


def test_softmax_bounds_a_stream_that_shouts() -> None:
    loud = table(logits=100 * np.roll(np.eye(3), 1, axis=1))
    assert fuse([table(logits=3 * np.eye(3)), loud]).top1 == 0
    assert fuse([table(logits=9 * np.eye(3)), loud], [1.1, 1], softmax=True).top1 == 1


def test_top_and_confusion() -> None:
    scores = table(logits=np.array([[3, 2, 1], [3, 2, 1], [3, 2, 1.0]]))
    assert [scores.top(count) for count in (1, 2, 3)] == pytest.approx([1 / 3, 2 / 3, 1])
    assert scores.confusion().tolist() == [[1, 0, 0], [1, 0, 0], [1, 0, 0]]
    assert table(logits=np.zeros((3, 3))).top1 == pytest.approx(1 / 3)  # equal scores are no success


def test_files_come_back_and_others_are_refused(tmp_path: Path) -> None:
    table().save(tmp_path / "a.npz")
    back = load_scores(tmp_path / "a.npz")
    assert back.names == ["a", "b", "c"] and back.keys == [] and back.classes == ("x", "y", "z") and back.top1 == 1
    np.savez(tmp_path / "pickled.npz", scores=np.eye(3), labels=np.arange(3), names=np.array([{}, {}, {}]))
    np.savez(tmp_path / "few.npz", scores=np.eye(3))
    (tmp_path / "text.npz").write_text("no scores")
    np.save(tmp_path / "array.npy", np.eye(3))
    np.savez(tmp_path / "crops.npz", scores=np.ones((3, 25, 4)), labels=np.arange(3), names=np.array([*"abc"]))
    np.savez(tmp_path / "bytes.npz", scores=np.eye(3), labels=np.arange(3), names=np.array([b"a", b"b", b"c"]))
    assert load_scores(tmp_path / "bytes.npz").names == ["a", "b", "c"]
    np.savez(tmp_path / "latin.npz", scores=np.eye(2), labels=np.arange(2), names=np.array([b"a\xe9", b"b"]))
    assert load_scores(tmp_path / "latin.npz").names == ["a\\xe9", "b"]
    for name, message in [
        ("pickled.npz", "no score file"),
        ("few.npz", "few.npz has no labels, names"),
        ("text.npz", "no score file"),
        ("absent.npz", "no score file"),
        ("array.npy", "no score file"),
        ("crops.npz", r"crops.npz: scores of 3 videos must be \(videos, classes\)"),
    ]:
        with pytest.raises(ModelError, match=message):
            load_scores(tmp_path / name)


def test_names_that_differ_in_other_letters_alone_are_matched_exactly() -> None:
    names = ["视频一.mp4", "视频二.mp4", "a b.mp4"]
    fused = fuse([table(names=names), table(names=names[::-1], labels=np.array([2, 1, 0]), logits=np.eye(3)[::-1])])
    assert fused.names == names and np.array_equal(fused.logits, 2 * np.eye(3))


@pytest.mark.parametrize("damage", ["cut", "flipped", "packed otherwise", "encrypted", "an array", "words"])
def test_damaged_files_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "scores.npz"
    table().save(path)
    data = bytearray(path.read_bytes())
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        data[100:140] = bytes(40)
        path.write_bytes(data)
    elif damage in ("packed otherwise", "encrypted"):  # says the first entry of the zip directory
        entry = data.index(b"PK\x01\x02")
        data[entry + (10 if damage == "packed otherwise" else 8)] |= 1
        path.write_bytes(data)
    elif damage == "an array":
        with path.open("wb") as file:
            np.save(file, np.eye(3))
    else:
        with path.open("wb") as file:
            np.savez(file, names=["a"], labels=["x"], scores=[["1"]])
    with pytest.raises(ModelError, match=str(path)):
        load_scores(path)


def test_a_damaged_header_is_refused(tmp_path: Path) -> None:
    """Of an array that is longer than what is read before its checksum is looked at."""
    path, videos = tmp_path / "scores.npz", 400
    ScoreTable([f"v{n}" for n in range(videos)], np.zeros(videos, np.int64), np.ones((videos, 51))).save(path)
    data = bytearray(path.read_bytes())
    start = data.index(b"'shape': (400, 51)")
    for place in range(start, start + 18):
        path.write_bytes(data[:place] + bytes([data[place] ^ 64]) + data[place + 1 :])
        with pytest.raises(ModelError, match=str(path)):
            load_scores(path)


@pytest.mark.parametrize("weights", [[0.0, 0.0], [1.0, float("nan")], [2.0, -1.0], [1e308, 1e308]])
def test_weights_that_say_nothing_are_refused(weights: list[float]) -> None:
    with pytest.raises(ModelError, match=r"weights must be 0 to 1e\+06 and not all 0"):
        fuse([table(), table()], weights)
