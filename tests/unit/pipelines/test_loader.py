"""The strict loader: what it accepts; and each refusal names the file, the key and what is allowed."""

import math
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest

from pipelines import RecipeError, load, names


@dataclass(frozen=True, kw_only=True)
class Inner:
    width: int
    share: float = 0.5

    def __post_init__(self) -> None:
        if self.width < 1:
            raise ValueError(f"width must be at least 1, got {self.width}")


@dataclass(frozen=True, kw_only=True)
class Outer:
    inner: Inner
    name: str
    flag: bool = False
    kind: Literal["a", "b"] = "a"
    level: Literal[1, 2] = 1
    limit: int | None = None
    rate: float | None = None
    classes: tuple[str, ...] = ()
    parts: tuple[Inner, ...] = ()
    more: Inner = field(default_factory=lambda: Inner(width=7))


SMALL = 'name = "x"\n[inner]\nwidth = 3\n'


@pytest.fixture
def read(tmp_path: Path) -> Any:
    """Loads a recipe from its text, with overrides."""

    def call(text: str, *overrides: str) -> Outer:
        (tmp_path / "my.toml").write_text(text, encoding="utf-8")
        return load(Outer, "build", str(tmp_path / "my.toml"), overrides)

    return call


def test_defaults_stand_where_a_recipe_is_silent(read: Any) -> None:
    assert read(SMALL) == Outer(inner=Inner(width=3), name="x")


def test_every_type_is_read(read: Any) -> None:
    text = (
        'name = "x"\nflag = true\nkind = "b"\nlevel = 2\nlimit = 4\nrate = 2\nclasses = ["p", "q"]\n'
        "parts = [{width = 1}, {width = 2, share = 1}]\n[inner]\nwidth = 3\nshare = 1e-3\n[more]\nwidth = 9\n"
    )
    recipe = read(text)
    assert recipe == Outer(
        inner=Inner(width=3, share=0.001),
        name="x",
        flag=True,
        kind="b",
        level=2,
        limit=4,
        rate=2.0,
        classes=("p", "q"),
        parts=(Inner(width=1), Inner(width=2, share=1.0)),
        more=Inner(width=9),
    )
    assert type(recipe.rate) is float
    assert type(recipe.parts[1].share) is float


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("colour = 1\n" + SMALL, "unknown key colour; known here: inner, name, flag, kind"),
        (SMALL + "height = 1\n", "unknown key inner.height; known here: width, share"),
        ("[inner]\nwidth = 3\n", "missing key name; it must be a string"),
        ('name = "x"\n', "missing key inner; it must be a table of width, share"),
        ('name = "x"\n[inner]\nshare = 1.0\n', "missing key inner.width; it must be a whole number"),
        ('name = "x"\ninner = 3\n', "inner must be a table of width, share, got 3"),
        ('name = "x"\ninner = []\n', "inner must be a table of width, share, got []"),
        ("name = 3\n[inner]\nwidth = 3\n", "name must be a string, got 3"),
        ("name = 1979-05-27\n[inner]\nwidth = 3\n", "name must be a string, got datetime.date"),
        ('name = "x"\n[inner]\nwidth = true\n', "inner.width must be a whole number, got True"),
        ('name = "x"\n[inner]\nwidth = 3.0\n', "inner.width must be a whole number, got 3.0"),
        ('name = "x"\n[inner]\nwidth = "3"\n', "inner.width must be a whole number, got '3'"),
        ('name = "x"\n[inner]\nwidth = [3]\n', "inner.width must be a whole number, got [3]"),
        ('name = "x"\n[inner]\nwidth = 3\nshare = true\n', "inner.share must be a finite number, got True"),
        ('name = "x"\n[inner]\nwidth = 3\nshare = "1e-3"\n', "inner.share must be a finite number, got '1e-3'"),
        ('name = "x"\n[inner]\nwidth = 3\nshare = nan\n', "inner.share must be a finite number, got nan"),
        ('name = "x"\n[inner]\nwidth = 3\nshare = -inf\n', "inner.share must be a finite number, got -inf"),
        ('flag = "no"\n' + SMALL, "flag must be true or false, got 'no'"),
        ("flag = 1\n" + SMALL, "flag must be true or false, got 1"),
        ('kind = "c"\n' + SMALL, "kind must be one of 'a', 'b', got 'c'"),
        ("level = true\n" + SMALL, "level must be one of 1, 2, got True"),
        ("level = 1.0\n" + SMALL, "level must be one of 1, 2, got 1.0"),
        ("limit = 1.5\n" + SMALL, "limit must be a whole number, got 1.5"),
        ("rate = false\n" + SMALL, "rate must be a finite number, got False"),
        ('classes = "p"\n' + SMALL, "classes must be a list, each entry a string, got 'p'"),
        ('classes = ["p", 1]\n' + SMALL, "classes[1] must be a string, got 1"),
        ("parts = [{width = 1}, {}]\n" + SMALL, "missing key parts[1].width"),
        ("parts = [{width = 1, x = 2}]\n" + SMALL, "unknown key parts[0].x; known here: width, share"),
        ('name = "x"\n[inner]\nwidth = 0\n', "inner: width must be at least 1, got 0"),
        ("parts = [{width = 0}]\n" + SMALL, "parts[0]: width must be at least 1, got 0"),
        ("name = \n", "not TOML"),
        ("name = 'x'\nname = 'y'\n", "not TOML"),
        (f"limit = {'9' * 5000}\n{SMALL}", "not TOML: Exceeds the limit"),
    ],
)
def test_refusals_name_the_file_the_key_and_what_is_allowed(read: Any, text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)) as caught:
        read(text)
    assert "my.toml: " in str(caught.value)


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("inner.width=9", "inner.width", 9),
        (" inner.width = 9 ", "inner.width", 9),
        ("inner.share=1", "inner.share", 1.0),
        ("name=hmdb51", "name", "hmdb51"),
        ('name="3"', "name", "3"),
        ("name=a=b", "name", "a=b"),
        ("name=", "name", ""),
        ("name=1\nlimit = 2", "name", "1\nlimit = 2"),
        ("flag=true", "flag", True),
        ("kind=b", "kind", "b"),
        ('classes=["p", "q"]', "classes", ("p", "q")),
        ("more.width=1", "more.width", 1),  # a table that the recipe does not have
        ("inner={width = 4}", "inner.width", 4),
        ("limit=5 # why", "limit", 5),
    ],
)
def test_overrides_take_toml_values(read: Any, override: str, path: str, value: Any) -> None:
    found = read(SMALL, override)
    for part in path.split("."):
        found = getattr(found, part)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    "text", [f"x = {'[' * 5000}", f"{'.'.join('a' * 5000)} = 1", f"{SMALL}deep = {'{a = ' * 900}1{'}' * 900}"]
)
def test_what_is_nested_too_deep_is_refused_in_one_line(read: Any, text: str) -> None:
    with pytest.raises(RecipeError, match=r"nested too deep|unknown key"):
        read(text)


@pytest.mark.parametrize("value", ["[" * 5000, f"{'{a = ' * 5000}1{'}' * 5000}"])
def test_a_value_that_is_nested_too_deep_is_refused_in_one_line(read: Any, value: str) -> None:
    with pytest.raises(RecipeError, match="nested too deep"):
        read(SMALL, f"name={value}")


def test_a_file_that_is_far_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "large.toml").write_text(SMALL + "#" * (2 << 20))
    with pytest.raises(RecipeError, match=r"large\.toml: has more than 1048576 bytes, so it is no recipe"):
        load(Outer, "build", str(tmp_path / "large.toml"))


def test_later_overrides_win(read: Any) -> None:
    assert read(SMALL, "inner.width=1", "inner.width=2").inner.width == 2


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("inner.width", "--set 'inner.width': expected key=value"),
        ("=3", "--set '=3': expected key=value"),
        ("inner..width=3", "--set 'inner..width=3': expected key=value"),
        ("name.first=3", "--set 'name.first=3': name is a value, not a table"),
        ("inner.height=3", "unknown key inner.height"),
        ("inner.width=wide", "inner.width must be a whole number, got 'wide'"),
        (f"inner.width={'9' * 5000}", "inner.width must be a whole number, got '999"),
        ("name=3", "name must be a string, got 3"),
        ("inner.share=nan", "inner.share must be a finite number, got nan"),
    ],
)
def test_wrong_overrides_are_refused(read: Any, override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=re.escape(message)):
        read(SMALL, override)


def test_unknown_recipes_are_refused_with_those_there_are(tmp_path: Path) -> None:
    for name in ("nothing", str(tmp_path / "nothing.toml"), str(tmp_path)):
        with pytest.raises(
            RecipeError, match=r"no recipe .*: it is neither a file nor one of compact, default, faithful, small"
        ):
            load(Outer, "build", name)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(RecipeError, match=r"a\.toml: cannot be read as UTF-8 text"):
        load(Outer, "build", str(tmp_path / "a.toml"))


@pytest.mark.parametrize("name", names("build"))
def test_every_packaged_recipe_is_a_build_recipe(name: str) -> None:
    from ipdata.recipe import load_recipe

    recipe = load_recipe(name)
    assert recipe.transcode.gop == 12
    assert load_recipe(name, ["transcode.gop=6"]).transcode.gop == 6
    assert math.isfinite(recipe.columns["flow"].bound_px)
    with pytest.raises(RecipeError, match=rf"recipe {name}: transcode: width must be even"):
        load_recipe(name, ["transcode.width=33"])


def test_the_default_recipe_is_the_paper_s() -> None:
    from ipdata.recipe import load_recipe

    recipe = load_recipe("default")
    assert (recipe.transcode.width, recipe.transcode.height, recipe.transcode.gop) == (340, 256, 12)
    assert (recipe.columns["residual"].definition, recipe.columns["flow"].bound_px) == ("previous", 20.0)


def test_a_base_gives_what_the_recipe_does_not_say(tmp_path: Path) -> None:
    from ipdata.recipe import load_recipe

    own = tmp_path / "mine.toml"
    own.write_text('base = "small"\n[residual]\nquality = 80\n')
    mine, small = load_recipe(str(own)), load_recipe("small")
    assert mine == replace(small, columns={**small.columns, "residual": replace(small.columns["residual"], quality=80)})
    assert small.transcode.width == 112 and small.columns["residual"] == load_recipe("default").columns["residual"]


@pytest.mark.parametrize("base", ['"nothing"', "3", '"/etc/passwd"', '["default"]'])
def test_a_base_must_be_a_packaged_recipe(tmp_path: Path, base: str) -> None:
    from ipdata.recipe import load_recipe

    own = tmp_path / "mine.toml"
    own.write_text(f"base = {base}\n")
    with pytest.raises(RecipeError, match=r"mine\.toml: base must be one of compact, default, faithful, small, got"):
        load_recipe(str(own))


def test_an_unknown_key_over_a_base_is_named(tmp_path: Path) -> None:
    from ipdata.recipe import load_recipe

    own = tmp_path / "mine.toml"
    own.write_text('base = "default"\n[residual]\nqualty = 80\n')
    with pytest.raises(RecipeError, match=r"mine\.toml: unknown key residual\.qualty"):
        load_recipe(str(own))
