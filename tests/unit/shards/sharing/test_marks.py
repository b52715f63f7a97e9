"""What people write in a README.md stays, wherever they write it; what is generated is replaced."""

import pytest
import yaml

from shards.sharing.marks import BODY_MARKS, YAML_MARKS, license_in, rewritten

MATTER = {"license": "license: unknown", "tags": "tags:\n- webdataset", "configs": "configs:\n- config_name: mv"}


def written(old: str = "", *, body: str = "# Set\n\nNew.\n", license: str | None = None) -> str:
    return rewritten(old, matter=MATTER, body=body, license=license)


def matter_of(text: str) -> dict:
    _, matter, _ = text.split("---\n", 2)
    return yaml.safe_load(matter)


def marked(text: str) -> list[str]:
    """The lines of the body that stand between the marks."""
    return text.split(BODY_MARKS[0])[1].split(BODY_MARKS[1])[0].strip().splitlines()


def edited(text: str, *, front: str = "", above: str = "", below: str = "") -> str:
    """The text after a person wrote into its front matter, above the marks and below them."""
    text = text.replace(f"{YAML_MARKS[1]}\n", f"{YAML_MARKS[1]}\n{front}")
    return text.replace(BODY_MARKS[0], above + BODY_MARKS[0]) + below


def test_a_new_card_is_generated_whole() -> None:
    text = written()
    assert matter_of(text) == {"license": "unknown", "tags": ["webdataset"], "configs": [{"config_name": "mv"}]}
    assert marked(text) == ["# Set", "", "New."]


def test_writing_again_changes_nothing() -> None:
    for old in ("", "# Mine\n", "---\nlicense: mit\n---\n# Mine", "---\nno end"):
        once = written(old)
        assert written(once) == once


def test_text_around_the_marks_stays() -> None:
    old = edited(
        written(),
        front="language: en\nmore:\n- a\n# why\n",
        above="Words above.\n\n",
        below="\nWords below, no line end",
    )
    text = written(old, body="# Other\n")
    assert marked(text) == ["# Other"]
    assert text == old.replace("# Set\n\nNew.", "# Other")
    assert matter_of(text)["language"] == "en"


def test_marks_are_known_by_their_begin() -> None:
    """Another version may say something else in them."""
    old = edited(written(), above="Words.\n").replace("rewritten by `ipshards card`", "not yours")
    assert written(old) == edited(written(), above="Words.\n")


def test_keys_that_a_person_wrote_are_not_generated() -> None:
    text = written(edited(written(), front="tags: [mine]\n'license': mit\n"))
    assert text.count("tags:") == 1
    assert (matter_of(text)["tags"], matter_of(text)["license"]) == (["mine"], "mit")


@pytest.mark.parametrize("theirs", ["license: mit\n", "license:\n- mit\n- gpl-3.0\n", '"license": mit # chosen\n'])
def test_a_licence_is_replaced_only_on_request(theirs: str) -> None:
    old = edited(written(), front=f"{theirs}language: en\n")
    assert theirs in written(old)
    new = written(old, license="cc-by-4.0")
    assert matter_of(new)["license"] == "cc-by-4.0"
    assert "mit" not in new and "gpl" not in new
    assert matter_of(new)["language"] == "en"
    assert written(new) == new


def test_a_readme_without_marks_stays_whole_above_what_is_generated() -> None:
    hand = "---\nlicense: mit\nconfigs:\n- config_name: mine\n---\n\n# Ours\n\nBy hand, with --- and\r\nodd line ends."
    text = written(hand)
    assert matter_of(text)["configs"] == [{"config_name": "mine"}]
    assert "\n# Ours\n\nBy hand, with --- and\r\nodd line ends.\n" in text
    assert text.index("By hand") < text.index(BODY_MARKS[0])
    assert marked(text) == ["# Set", "", "New."]


def test_metadata_whose_marks_an_editor_dropped_is_generated_anew() -> None:
    text = edited(written(), front="language: en\n", above="Words.\n")
    old = text.replace(f"{YAML_MARKS[0]}\n", "").replace(f"{YAML_MARKS[1]}\n", "").replace("name: mv", "name: stale")
    new = written(old)
    assert matter_of(new) == matter_of(text)
    assert "stale" not in new and "Words.\n" in new


@pytest.mark.parametrize("mark", BODY_MARKS)
def test_a_mark_that_was_lost_loses_no_text(mark: str) -> None:
    old = edited(written(), above="Words above.\n", below="Words below.\n").replace(mark, "")
    new = written(old, body="# Other\n")
    for words in ("Words above.\n", "New.\n", "Words below.\n"):
        assert words in new
    assert marked(new) == ["# Other"]
    assert written(new, body="# Other\n") == new


def test_the_licence_is_read_as_it_is_written() -> None:
    assert license_in(written()) == "unknown"
    assert license_in("no front matter\nlicense: mit\n") == "unknown"
    assert license_in("---\nlicense:\n- mit\n---\n") == "unknown"
    assert license_in("---\nlanguage: en\nlicense: 'mit'  # ours\n---\nlicense: no\n") == "mit"
