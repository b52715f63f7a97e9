"""The page of a set: all samples by class, with pictures that are there, and names that cannot become markup."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import cv2
import made_sets
import numpy as np
import pytest
from browser import opened
from click.testing import CliRunner, Result

from shards import ShardError, ShardSet
from shards.cli import main
from shards.sheet.page import PAGE, PICTURES, UNFINISHED, Guess, Item, PageDirectory, Section, page_of
from shards.text import printable

EVIL = '<script>alert("1")</script>\x1b&\n'


class Page(HTMLParser):
    """What a browser finds on a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.scripts, self.pictures, self.facets, self.lists, self.options = 0, [], [], [], []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list) -> None:
        values = dict(attrs)
        self.scripts += tag == "script"
        if tag == "img":
            self.pictures.append(unquote(values["src"]))
        if tag == "figure":
            self.facets.append(json.loads(values["data-facets"]))
        if tag == "select":
            self.lists.append(values["name"])
        if tag == "option":
            self.options.append(values["value"])

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def test_show_all_has_every_sample_by_class(made_dir: Path, made: ShardSet, tmp_path: Path) -> None:
    done = run("show", made_dir, "--all", "--html", tmp_path / "page")
    assert done.exit_code == 0, done.output
    assert done.stdout == f"page: {tmp_path / 'page' / PAGE}\n"
    text = (tmp_path / "page" / PAGE).read_text()
    page = Page(text)
    assert len(page.pictures) == len(made) == 9
    for picture in page.pictures:
        assert cv2.imread(str(tmp_path / "page" / picture)).shape[0] > 84
    assert [facets["class"] for facets in page.facets] == sorted(sample.class_name for sample in made)
    assert page.lists == ["class", "split1", "split2"] and {"class a", "test", "unused"} <= set(page.options)
    assert "http" not in text.replace("http-equiv", "")
    for sample in made:
        assert sample.name in page.texts


def test_a_browser_shows_what_the_lists_choose(made_dir: Path, tmp_path: Path) -> None:
    assert run("show", made_dir, "--all", "--html", tmp_path / "page", "--frames", "1").exit_code == 0
    choose = """
      const [classes, splits] = document.querySelectorAll("select");
      classes.value = "class b";
      splits.value = "test";
      splits.dispatchEvent(new Event("input"));
    """
    shown = opened(tmp_path / "page" / PAGE, tmp_path, then=choose)
    assert "1 of 9 videos" in shown
    assert len(re.findall('<section data-title="[^"]*">', shown)) == 1  # the others have hidden=""


def test_a_part_of_each_class_and_no_pictures_of_an_earlier_page(made_dir: Path, tmp_path: Path) -> None:
    for per_class in (2, 1):
        done = run("show", made_dir, "--all", "--html", tmp_path, "--per-class", str(per_class), "--frames", "1")
        assert done.exit_code == 0, done.output
        assert len(list((tmp_path / PICTURES).iterdir())) == 3 * per_class
    assert "3 of 9 videos, 3 classes" in (tmp_path / PAGE).read_text()


def test_a_sample_that_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    made_sets.make_set(tmp_path / "set", columns=["mv"])
    assert run("show", tmp_path / "set", "--all", "--html", tmp_path / "page").exit_code == 0
    page = Page((tmp_path / "page" / PAGE).read_text())
    assert len(page.pictures) == 8 and len(page.facets) == 9
    assert any("has no P-frames, and the set has no column iframe" in text for text in page.texts)


@pytest.mark.parametrize(
    "arguments",
    [["--all"], ["key", "--all", "--html", "page"], ["key", "--html", "page"], ["key", "--per-class", "2"], []],
)
def test_wrong_use_of_show_exits_with_2(made_dir: Path, arguments: list[str]) -> None:
    assert run("show", made_dir, *arguments).exit_code == 2


def test_a_directory_of_other_files_is_left_alone(made_dir: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    done = run("show", made_dir, "--all", "--html", tmp_path)
    assert done.exit_code == 1 and "is not empty and has no index.html" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_page_of_somebody_else_and_its_pictures_are_left_alone(made_dir: Path, tmp_path: Path) -> None:
    (tmp_path / PICTURES).mkdir()
    mine = {tmp_path / PAGE: "<html>mine</html>", tmp_path / PICTURES / "holiday.jpg": "mine too"}
    for path, text in mine.items():
        path.write_text(text)
    done = run("show", made_dir, "--all", "--html", tmp_path)
    assert done.exit_code == 1 and "is not a page that this package has made" in done.stderr
    (tmp_path / PAGE).unlink()
    assert run("show", made_dir, "--all", "--html", tmp_path).exit_code == 1
    assert (tmp_path / PICTURES / "holiday.jpg").read_text() == "mine too" and not (tmp_path / PAGE).exists()


def test_only_pictures_of_the_earlier_page_are_removed(made_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    assert run("show", made_dir, "--all", "--html", out, "--frames", "1").exit_code == 0
    (out / PICTURES / "holiday.jpg").write_text("mine")
    (tmp_path / "thesis.jpg").write_text("mine")
    crafted = (out / PAGE).read_text() + f'<img src="{PICTURES}/..%2F..%2Fthesis.jpg">'
    (out / PAGE).write_text(crafted)
    assert run("show", made_dir, "--all", "--html", out, "--frames", "1", "--per-class", "1").exit_code == 0
    assert (out / PICTURES / "holiday.jpg").exists() and (tmp_path / "thesis.jpg").exists()
    assert len(list((out / PICTURES).iterdir())) == 3 + 1


def test_an_interrupted_page_leaves_the_earlier_one_and_is_made_again(made_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "page"
    assert run("show", made_dir, "--all", "--html", out, "--frames", "1").exit_code == 0
    before = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    PageDirectory(out).add("00000.jpg", np.zeros((8, 8, 3), np.uint8))  # and then it is killed
    assert {path.name: path.read_bytes() for path in (out / PICTURES).iterdir()} | {PAGE: before[PAGE]} == before
    assert run("show", made_dir, "--all", "--html", out, "--frames", "1").exit_code == 0
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_names_from_outside_are_text() -> None:
    guess = Guess(class_name=EVIL, probability=0.5, is_right=True)
    item = Item(title=EVIL, lines=[EVIL], picture="pictures/a%22.jpg", facets={"class": EVIL}, opinions={EVIL: [guess]})
    other = Item(title="<!--SECTIONS-->", facets={"class": "b"})
    text = page_of(EVIL, EVIL, [Section(title=EVIL, note=EVIL, items=[item, other])])
    page = Page(text)
    assert page.scripts == 1 and "\x1b" not in text
    assert page.facets[0] == {"class": printable(EVIL)} and "<!--SECTIONS-->" in page.texts
    assert page.pictures == ['pictures/a".jpg']


def test_a_picture_keeps_its_colours(tmp_path: Path) -> None:
    place = PageDirectory(tmp_path / "page")
    red = np.full((40, 60, 3), (250, 10, 10), np.uint8)
    assert place.add("a #1.jpg", red) == f"{PICTURES}/a%20%231.jpg"
    blue, green, red_level = cv2.imread(str(tmp_path / "page" / UNFINISHED / "a #1.jpg"))[20, 30]
    assert red_level > 240 and max(blue, green) < 20
    with pytest.raises(ShardError, match="cannot encode a picture of 70000x1 px"):
        place.add("b.jpg", np.zeros((1, 70000, 3), np.uint8))


def test_two_sheets_fit_beside_each_other_and_lists_are_not_wider_than_a_third(tmp_path: Path) -> None:
    sheet = np.full((200, 592, 3), 99, np.uint8)  # as wide as small sheets are
    place = PageDirectory(tmp_path / "page")
    items = [
        Item(title=name, lines=[], picture=place.add(f"{name}.jpg", sheet), facets={"class": name * 60}, opinions={})
        for name in ("a", "b", "c")
    ]
    page = place.publish(page_of("three", "", [Section(title="any", note="", items=items)]))
    measure = """
      const tops = [...document.querySelectorAll("figure")].map(one => one.getBoundingClientRect().top);
      const list = document.querySelector("select").getBoundingClientRect().width;
      document.title = `same row ${tops[0] === tops[1]}, next row ${tops[2] > tops[0]}, list ${list < 400},
        overflow ${document.documentElement.scrollWidth > innerWidth}`.replace(/\\s+/g, " ");
    """
    for width_px, fits in ((1200, "true"), (700, "false")):
        shown = opened(page, tmp_path, then=measure, width_px=width_px)
        assert f"<title>same row {fits}, next row true, list true, overflow false</title>" in shown, shown[:400]
