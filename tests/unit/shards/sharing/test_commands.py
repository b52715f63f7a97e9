"""Lists on the command line."""

import click
import pytest

from shards.sharing.commands import as_list

OPTION = click.Option(["--classes"])
CONTEXT = click.Context(click.Command("pull"))


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (None, None),
        ("hug", ["hug"]),
        ("hug, kick,,", ["hug", "kick"]),
        ('hug,"push, hard"', ["hug", "push, hard"]),
        ('hug, "push, hard"', ["hug", "push, hard"]),
    ],
)
def test_a_list_has_commas_and_a_part_with_a_comma_has_quotes(text: str | None, parts: list[str] | None) -> None:
    assert as_list(CONTEXT, OPTION, text) == parts


@pytest.mark.parametrize("text", ["", " ", ",", '""'])
def test_an_empty_list_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is empty"):
        as_list(CONTEXT, OPTION, text)


@pytest.mark.parametrize("text", ["hug\nkick", "hug\rkick", "x" * 200_000])
def test_what_csv_does_not_take_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is no comma-separated list"):
        as_list(CONTEXT, OPTION, text)
