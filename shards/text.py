"""Names from outside, made fit to print: on a terminal, in a line of a report, in Markdown."""

import re

# Markdown and HTML give these a meaning.
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|!&~$])")
# Control characters: what steers a terminal, and what ends a line.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def printable(text: str) -> str:
    """Text on one line, for terminals and README.md: all that does not print becomes an escape of Python's.

    That covers line breaks, control characters and lone surrogates: "\\n", "\\x1b", "\\ud800".
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def printable_lines(text: str) -> str:
    """As printable, but line breaks stay."""
    return "\n".join(map(printable, text.split("\n")))


def printable_bytes(name: bytes) -> str:
    """A file's name as the records of a set spell it: bytes that are not UTF-8, and control characters, become \\xNN.

    Keys, records and manifests depend on this spelling, so it must never change.
    """
    return name.decode("utf-8", "backslashreplace").translate(CONTROLS)


def in_markdown(text: str) -> str:
    """Text on one line that Markdown and HTML show as it is. The bytes of README.md depend on it."""
    return MARKDOWN.sub(r"\\\1", printable(text))
