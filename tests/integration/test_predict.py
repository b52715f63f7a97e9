"""What a model says of a video is what an evaluation wrote for the sample that was built from it."""

import csv
import io
import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from browser import opened
from commands import Done
from conftest import Run
from predicting import source_files
from training import ipmodel as ipmodel_command

import ipmodel
from ipmodel.errors import ModelError
from ipmodel.evaluation.fuse import load_scores
from ipmodel.predict import Model, predictions_of_videos
from ipmodel.prediction.answers import Prediction, Unpredicted
from ipmodel.prediction.reached import Reached
from ipmodel.prediction.shown import reached_line
from shards import ShardSet


@pytest.fixture(scope="module")
def evaluated(trained: Path) -> Path:
    done = ipmodel_command("eval", trained / "run")
    assert done.returncode == 0, done.stderr
    return trained / "run"


@pytest.fixture(scope="module")
def model(evaluated: Path) -> Model:
    return ipmodel.load(evaluated, streams=["all"], device="cpu")


@pytest.fixture(scope="module")
def sources(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return source_files(ShardSet(trained / "set"), tmp_path_factory.mktemp("sources"))


def test_predicting_the_sources_gives_the_logits_of_the_evaluation_to_the_bit(
    evaluated: Path, model: Model, sources: list[Path]
) -> None:
    found = [answer for answer in model.predict_all(sources) if isinstance(answer, Prediction)]
    assert [answer.video for answer in found] == [str(path) for path in sources]
    for name in ("i", "p", "of", "i+p", "i+of"):
        table = load_scores(evaluated / "split-1" / "scores" / f"{name}.npz")
        assert np.array_equal(np.stack([answer.opinions[name].logits for answer in found]), table.logits), name
        if name in ("p", "of"):  # the student and its teacher
            assert table.features is not None
            assert np.array_equal(np.stack([answer.features[name] for answer in found]), table.features), name
        else:
            assert table.features is None


def test_predicting_a_set_gives_them_too(evaluated: Path, trained: Path) -> None:
    done = run_predict(evaluated, "--streams=all", f"--shards={trained / 'set'}", "--split=1", "--subset=test")
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    samples = list(ShardSet(trained / "set").samples(split="1", subset="test"))
    assert [(line["video"], line["true_class"]) for line in lines] == [(own.name, own.class_name) for own in samples]
    for name in ("i", "p", "of", "i+p"):
        table = load_scores(evaluated / "split-1" / "scores" / f"{name}.npz")
        assert np.array_equal([line["opinions"][name]["logits"] for line in lines], table.logits), name


def test_the_bitstreams_of_a_set_are_taken_as_they_are(evaluated: Path, trained: Path, tmp_path: Path) -> None:
    shard_set, paths = ShardSet(trained / "set"), []
    for sample in shard_set.samples(split="1", subset="test"):
        paths.append(tmp_path / f"{sample.key}.m4v")
        paths[-1].write_bytes(shard_set.read_bytes(sample.key, "video"))
    done = run_predict(evaluated, *paths)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    table = load_scores(evaluated / "split-1" / "scores" / "i+p.npz")
    assert np.array_equal([line["opinions"]["i+p"]["logits"] for line in lines], table.logits)


def run_predict(model: Path, *arguments: str | Path, form: str = "--json") -> Done:
    return ipmodel_command("predict", model, form, *arguments)


@pytest.fixture(scope="module")
def bad_videos(tmp_path_factory: pytest.TempPathFactory, sources: list[Path]) -> Path:
    """Below one folder of a class: files that are no videos, and one that is."""
    folder = tmp_path_factory.mktemp("bad") / "cool"
    folder.mkdir()
    (folder / "empty.avi").touch()
    (folder / "text.mp4").write_text("no video\n" * 1000)
    (folder / "sound.y4m").write_bytes(sources[0].read_bytes()[:20])
    (folder / "good.y4m").write_bytes(sources[0].read_bytes())
    return folder.parent


def test_bad_videos_are_reported_as_a_build_reports_them_and_left_out(
    evaluated: Path, bad_videos: Path, tmp_path: Path, ipdata: Run
) -> None:
    done = run_predict(evaluated, bad_videos)
    assert done.returncode == 3 and "3 of 4 videos failed" in done.stderr, done.stderr
    lines = {Path(line["video"]).name: line for line in map(json.loads, done.stdout.splitlines())}
    assert list(lines) == ["empty.avi", "good.y4m", "sound.y4m", "text.mp4"]
    assert lines["good.y4m"]["class"] in ipmodel.load(evaluated).classes
    built = ipdata("build", dataset="folder", source=bad_videos, out=tmp_path / "set", scheduler="none")
    assert built.returncode == 3, built.stderr
    for name in ("empty.avi", "sound.y4m", "text.mp4"):
        error = lines[name]["error"]
        told = f"{name}: {error['code']} ({error['stage']}): "
        assert told in built.stdout and f"{told}{error['reason']}\n" in done.stderr, name
        assert f"({error['stage']})" not in error["reason"]


def test_a_missing_video_fails_and_python_says_why(model: Model, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.avi: unreadable \(source\)"):
        model.predict(tmp_path / "gone.avi")
    (found,) = model.predict_all([tmp_path / "gone.avi"])
    assert isinstance(found, Unpredicted) and (found.stage, found.code) == ("source", "unreadable")


def test_a_video_at_a_url_fails_and_a_path_alone_is_no_list(evaluated: Path, model: Model) -> None:
    done = run_predict(evaluated, "https://user:password@example.org/clip.mp4?token=secret")
    said = "https://example.org/clip.mp4: unreadable (source): it is a URL, and videos must be files on this machine"
    assert done.returncode == 3 and said in done.stderr and "secret" not in done.stderr + done.stdout, done.stderr
    with pytest.raises(ModelError, match=r"predict_all takes a list of paths, got the path 'clip\.avi'"):
        model.predict_all("clip.avi")


def test_what_python_prints_is_short(model: Model, sources: list[Path]) -> None:
    (found,) = model.predict_all(sources[:1])
    assert isinstance(found, Prediction)
    said = f"{found.class_name!r} {100 * found.probability:.1f} %"
    assert repr(found) == f"Prediction({str(sources[0])!r}, 0.000 to 0.560 s: {said} by i+p)"
    assert repr(found.opinions["i+p"]) == f"Opinion({said})"
    listed = "fusion i+p, fusion i+of, stream i, stream p, stream of"
    assert repr(model) == f"Model({model.location!r}: {listed}; {len(model.classes)} classes; cpu)"
    assert repr(model.streams["p"]) == "Stream(name='p')"


@pytest.fixture(scope="module")
def one_frame(sources: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path, data = tmp_path_factory.mktemp("one") / "one.y4m", sources[0].read_bytes()
    path.write_bytes(data[: data.index(b"FRAME", data.index(b"FRAME") + 1)])
    return path


def test_a_video_of_one_frame_is_answered_by_the_i_stream_alone(evaluated: Path, one_frame: Path) -> None:
    done = run_predict(evaluated, one_frame)
    (line,) = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 0 and line["by"] == "i" and list(line["opinions"]) == ["i"], done.stderr
    done = run_predict(evaluated, one_frame, "--streams=p")
    assert done.returncode == 3 and "no_frames (predict): none of the model's streams can see it" in done.stderr


def test_paths_come_from_standard_input_too(
    evaluated: Path, sources: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{sources[0]}\n\n{sources[1]}\n"))
    done = run_predict(evaluated, "-", form="--csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["video"] for row in rows] == [str(sources[0]), str(sources[1])], done.stderr
    for row in rows:
        shares = [float(row[f"probability_{place}"]) for place in range(1, 6)]
        assert shares == sorted(shares, reverse=True) and 5 / 8 <= sum(shares) <= 1
        assert row["by"] == "i+p" and row["i+p_class"] == row["class_1"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["EMPTY"], "no videos in this directory"),
        (["x.avi", "--streams=q"], "has no stream 'q'; known: i, p, of"),
        (["x.avi", "--json", "--csv"], "choose one of --json and --csv"),
        ([], "name videos, or a set with --shards"),
        (["x.avi", "--shards=set"], "name either videos, or a set with --shards, not both"),
        (["x.avi", "--subset=test"], "--split and --subset go with --shards"),
        (["x.avi", "--ffmpeg=/nowhere/ffmpeg"], "does not run as ffmpeg"),
        (["x.avi", "--device=abacus"], "abacus: cannot be used here (PyTorch knows no such device); use cpu, cuda or"),
        (["x.avi", "--html=FILE"], "cannot be a directory, because it is a file; name another"),
        (["x.avi", "--ffmpeg=/bin/true"], "does not run as ffmpeg (its -version prints nothing); name another"),
    ],
)
def test_wrong_use_is_named_in_one_line(evaluated: Path, tmp_path: Path, arguments: list[str], said: str) -> None:
    given = [str(tmp_path) if word == "EMPTY" else word.replace("FILE", __file__) for word in arguments]
    done = ipmodel_command("predict", evaluated, *given)
    assert done.returncode in (1, 2) and said in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert done.stdout == ""


def test_what_is_no_model_is_named(trained: Path, tmp_path: Path) -> None:
    done = ipmodel_command("predict", tmp_path, "x.avi")
    assert done.returncode == 1 and f"{tmp_path}: is no model; name a network's file" in done.stderr
    done = ipmodel_command("predict", trained / "set" / "manifest.json", "x.avi")
    assert done.returncode == 1 and "is torn, or no network's file" in done.stderr, done.stderr
    done = ipmodel_command("predict", trained / "run" / "run.json", "x.avi")
    said = f"{trained / 'run' / 'run.json'}: is one of a model's files; name the directory: {trained / 'run'}"
    assert done.returncode == 1 and said in done.stderr, done.stderr


def test_spans_of_a_video_are_predicted_one_by_one(model: Model, sources: list[Path]) -> None:
    spans = model.predict_spans(sources[0], every_s=0.2)  # 14 frames at 25 a second
    assert [(round(own.start_s, 2), round(own.stop_s, 2)) for own in spans] == [(0, 0.2), (0.2, 0.4), (0.4, 0.56)]
    assert all(own.opinions.keys() == {"i+p", "i+of", "i", "p", "of"} for own in spans)
    assert spans[1].looked_at["i"] == {"iframe": [0]}
    assert spans[2].looked_at["i"] == {"iframe": [12]}
    assert spans[2].looked_at["p"]["mv"] == [10, 11, 13]


def test_the_reading_of_a_video_is_reported_span_by_span(evaluated: Path, model: Model, sources: list[Path]) -> None:
    reached: list[Reached] = []
    spans = predictions_of_videos(model, [str(sources[0])], every_s=0.2, on_reached=reached.append)
    first = next(spans)
    assert first.spans == 3 and len(list(spans)) == 2
    assert [(own.job, round(own.share, 2), round(own.stop_s, 2)) for own in reached] == [
        (0, 0.33, 0.2),
        (0, 0.67, 0.4),
        (0, 1.0, 0.56),
    ]
    assert reached_line(reached[1], 1, 2.0) == "video: 0:00.4 of 0:00.6 read"
    assert reached_line(reached[1], 7, 2.0) == "video 1 of 7: 0:00.4 of 0:00.6 read"
    assert reached_line(reached[2], 7, 2.0) == "1 of 7 videos, 0.5 videos/s"


def test_features_are_those_of_each_stream(model: Model, sources: list[Path]) -> None:
    features = model.features(sources[0])
    assert features.keys() == {"i", "p", "of"}
    assert all((own.shape, own.dtype.name) == ((512,), "float32") for own in features.values())
    again = model.features(sources[0])
    assert all(np.array_equal(features[name], again[name]) for name in features)
    logits = model.predict(sources[0]).opinions["p"].logits
    network = model.streams["p"].network
    with torch.inference_mode():
        assert np.allclose(network.fc(torch.from_numpy(features["p"])).numpy(), logits, atol=1e-5)


def test_one_network_alone_predicts(evaluated: Path, sources: list[Path], model: Model) -> None:
    alone = ipmodel.load(evaluated / "split-1" / "p_stream" / "network.safetensors", device="cpu")
    found, expected = alone.predict(sources[0]), model.predict(sources[0])
    assert found.by == "p_stream" and np.allclose(found.opinions["p_stream"].logits, expected.opinions["p"].logits)


def test_the_page_shows_each_video_with_its_pictures(
    evaluated: Path, sources: list[Path], bad_videos: Path, tmp_path: Path
) -> None:
    odd = tmp_path / 'a <b> & "c" 100%.y4m'
    odd.write_bytes(sources[0].read_bytes())
    out = tmp_path / "page"
    bad = bad_videos / "cool" / "text.mp4"
    done = run_predict(evaluated, sources[1], odd, bad, "--explain", f"--html={out}", form="--csv")
    assert done.returncode == 3, done.stderr
    page = (out / "index.html").read_text()
    assert "a &lt;b&gt; &amp; &quot;c&quot; 100%.y4m" in page and "<b> &" not in page
    assert "Not predicted: 1" in page and "not_a_video (source)" in page
    pictures = re.findall(r'src="([^"]+)"', page)
    assert len(pictures) == len(set(pictures)) == 4  # two streams of two videos
    for name in pictures:
        picture = cv2.imread(str(out / name))
        assert picture is not None and picture.std() > 10
    assert "http" not in page and page.count("<tbody>") == 2
    assert "p looked at frames" in page


def test_a_browser_sorts_and_filters_the_page(evaluated: Path, sources: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "page"
    done = run_predict(evaluated, *sources[:3], f"--html={out}", form="--csv")
    assert done.returncode == 0, done.stderr
    names = sorted(map(str, sources[:3]))
    for clicks, order in ((1, names), (2, names[::-1])):
        click = 'document.querySelector("th button").click();' * clicks
        shown = opened(out / "index.html", tmp_path, then=click)
        places = [shown.index(f"<h2>{name}") for name in order]
        assert places == sorted(places)
    search = f"""
      const field = document.querySelector("input");
      field.value = "{names[1].upper()}";
      field.dispatchEvent(new Event("input"));
    """
    shown = opened(out / "index.html", tmp_path, then=search)
    assert shown.count('<tbody hidden="">') == 2 and shown.count("<tbody") == 3


def test_the_page_of_spans_has_a_timeline(evaluated: Path, sources: list[Path], tmp_path: Path) -> None:
    out = tmp_path / "page"
    done = run_predict(evaluated, sources[0], "--every=0.2", f"--html={out}", form="--csv")
    assert done.returncode == 0 and len(done.stdout.splitlines()) == 4, done.stderr
    page = (out / "index.html").read_text()
    assert page.count('class="part"') == 3 and 'class="legend"' in page
    assert re.findall(r'src="([^"]+)"', page) == ["pictures/00000.jpg"]


def test_a_folder_with_other_files_gets_no_page(evaluated: Path, sources: list[Path], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    done = run_predict(evaluated, sources[0], f"--html={tmp_path}")
    assert done.returncode == 1 and "is not empty and has no index.html" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
