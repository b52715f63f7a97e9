"""Names from outside cannot steer a terminal or break Markdown, and the spelling of names never changes."""

import pytest

from shards.text import in_markdown, printable, printable_bytes, printable_lines


def test_text_is_on_one_line_and_prints() -> None:
    assert printable("a\tb\nc \x1b[31m \x9b é 日 \ud800 \u2028") == "a\\tb\\nc \\x1b[31m \\x9b é 日 \\ud800 \\u2028"


def test_lines_stay_where_they_may() -> None:
    assert printable_lines("one\n  two\x1b\n\rthree\x85") == "one\n  two\\x1b\n\\rthree\\x85"


@pytest.mark.parametrize(
    ("name", "spelt"),
    [
        (b"plain.avi", "plain.avi"),
        (b"caf\xe9 \xc3\xa9", "caf\\xe9 é"),
        (b"a\tb\n\x1b[31m\x7f", "a\\x09b\\x0a\\x1b[31m\\x7f"),
        (b"\xc2\x9b", "\\x9b"),  # U+009B starts a control sequence on some terminals
        ("\u2028日".encode(), "\u2028日"),  # the spelling in sets that exist
    ],
)
def test_names_on_disk_are_spelt_as_records_spell_them(name: bytes, spelt: str) -> None:
    assert printable_bytes(name) == spelt


def test_markdown_and_html_show_a_name_as_it_is() -> None:
    assert in_markdown("<b>*x*_|`#\n") == "\\<b\\>\\*x\\*\\_\\|\\`\\#\\\\n"
    assert in_markdown("Hello, wave-1 (2)") == "Hello, wave-1 (2)"
