"""What a person sees in a Python prompt, a notebook or pandas is short, true, and safe to show."""

import re
import shutil
from html.parser import HTMLParser
from importlib import metadata
from pathlib import Path

import made_sets
import pandas
import pytest

import shards
from shards import Sample, ShardError, ShardSet
from shards.facts import describe, in_html, size_of
from shards.sheet import draw

REPOSITORY = Path(__file__).parents[3]


class Texts(HTMLParser):
    """The tags of a page, and its texts as a browser shows them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.texts: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        assert not attrs
        self.tags.append(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_a_set_has_a_length_and_yields_its_samples(made: ShardSet) -> None:
    samples = list(made)
    assert len(made) == len(samples) == made.manifest.samples
    assert samples == list(made.samples())
    assert all(isinstance(sample, Sample) for sample in samples)


def test_what_a_prompt_shows_of_a_set_is_one_line(made: ShardSet) -> None:
    columns = "columns iframe, mv, residual, flow, video"
    assert repr(made) == f"<ShardSet {made.location!r}: {len(made)} samples, 3 classes, 2 splits, {columns}>"


def test_what_a_prompt_shows_of_a_sample_is_one_line(made: ShardSet) -> None:
    sample = next(sample for sample in made if sample.frames > 1)
    text = repr(sample)
    intra, inter = (len(made.frame_numbers(sample.key, column)) for column in ("iframe", "mv"))
    assert text.startswith(
        f"<Sample {sample.key}: class {sample.class_id} {sample.class_name!r}, {sample.frames} frames"
    )
    assert f"({intra} I, {inter} P) of 64x48 px" in text
    assert f"split1 {sample.subsets['split1']}" in text
    assert "\n" not in text and len(text) < 200


def test_samples_are_chosen_by_class(made: ShardSet) -> None:
    first, second, third = made.manifest.classes
    of_first = list(made.samples(classes=[first]))
    assert of_first and {sample.class_name for sample in of_first} == {first}
    assert len(of_first) + len(list(made.samples(classes=[second, third]))) == len(made)
    assert list(made.samples(classes=made.manifest.classes)) == list(made)
    assert list(made.samples(classes=[])) == []
    test = [sample for sample in made.samples(split="1", subset="test") if sample.class_name == second]
    assert list(made.samples(split="1", subset="test", classes=[second])) == test


def test_an_unknown_class_is_an_error_that_lists_the_known(made: ShardSet) -> None:
    known = ", ".join(made.manifest.classes)
    with pytest.raises(ShardError, match=re.escape(f"unknown class 'nothing'; this set has {known}")):
        list(made.samples(classes=[made.manifest.classes[0], "nothing"]))
    with pytest.raises(ShardError, match=re.escape("must be in a list, such as classes=['jump']")):
        list(made.samples(classes="jump"))


def test_the_table_has_scalars_only_and_a_column_for_each_split(made: ShardSet) -> None:
    rows = made.table()
    assert [row["key"] for row in rows] == [sample.key for sample in made]
    assert all(type(value) in (str, int) for row in rows for value in row.values())
    for row, sample in zip(rows, made, strict=True):
        assert (row["class_name"], row["frames"], row["source_sha256"]) == (
            sample.class_name,
            sample.frames,
            sample.source_sha256,
        )
        assert {split: row[f"subset_{split}"] for split in made.manifest.splits} == sample.subsets
    frame = pandas.DataFrame(rows)
    assert (frame.subset_split1 == "test").sum() == made.manifest.splits["split1"]["test"]
    assert frame.groupby("class_name").frames.sum().sum() == made.manifest.frames


def test_a_notebook_shows_counts_splits_columns_and_sizes(made: ShardSet) -> None:
    facts = describe(made.manifest)
    page = Texts(made._repr_html_())
    assert page.open == []
    shown = " ".join(page.texts)
    assert f"{len(made)} samples, {made.manifest.frames} frames, {len(made.manifest.shards)} shards" in shown
    assert size_of(facts["bytes"]) in shown
    assert made.location in page.texts
    for split, counts in made.manifest.splits.items():
        at = page.texts.index(split)
        assert page.texts[at + 1 : at + 4] == [str(counts[subset]) for subset in ("train", "test", "unused")]
    for name, column in facts["columns"].items():
        at = page.texts.index(name)
        assert page.texts[at + 1 : at + 3] == [column["encoding"]["media"], size_of(column["bytes"])]


def test_names_cannot_write_html(made: ShardSet) -> None:
    evil = "</code><script>alert('1')</script>&amp;\n\x1b[2J\ud800"
    facts = describe(made.manifest)
    facts["dataset"], facts["classes"], facts["splits"] = {"name": evil}, [evil], {evil: facts["splits"]["split1"]}
    facts["columns"] = {evil: {"encoding": {"media": evil}, "bytes": 1}}
    html = in_html(facts, location=evil)
    page = Texts(html)
    assert set(page.tags) == set(Texts(made._repr_html_()).tags)
    assert html.isprintable() and html.encode("utf-8")
    assert sum("<script>alert('1')</script>&amp;" in text for text in page.texts) == 6


def test_the_package_offers_verify_and_the_sheet(made: ShardSet, made_dir: Path, tmp_path: Path) -> None:
    from shards.verify import verify

    assert shards.verify is verify
    assert shards.sheet_of is draw.sheet_of
    assert list(shards.verify(str(made_dir))) == list(shards.verify(made_dir)) == []
    damaged = Path(shutil.copytree(made_dir, tmp_path / "set"))
    (damaged / "mv" / "00000.tar").unlink()
    assert [problem.split(": ")[1][:7] for problem in shards.verify(str(damaged))] == ["missing"]
    with pytest.raises(ShardError, match="nothing://host/set: Protocol not known"):
        list(shards.verify("nothing://host/set"))
    sheet = shards.sheet_of(made, made_sets.scenes()[0].key, frames=2)
    assert sheet.ndim == 3 and sheet.shape[2] == 3
    for function in (shards.verify, shards.sheet_of):
        assert "Example:" in str(function.__doc__) and "Raises:" in str(function.__doc__)


def test_the_version_is_the_distributions() -> None:
    assert shards.__version__ == metadata.version("ip-tsn")


@pytest.mark.parametrize("package", ["shards", "pipelines", "ipdata", "ipmodel"])
def test_type_checkers_may_trust_the_packages(package: str) -> None:
    assert (REPOSITORY / package / "py.typed").is_file()
