"""Makes names from outside safe to print: on a terminal, in a line of a report, in Markdown."""

import re

# Characters that have a meaning in Markdown or HTML.
MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|!&~$])")
# Escapes of the control characters, which can steer a terminal or end a line.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))}


def printable(text: str) -> str:
    """Turn text into one line, for terminals and README.md: characters that do not print become Python's escapes.

    Those are line breaks, control characters, lone surrogates and the like: "\\n", "\\x1b", "\\ud800".
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def printable_lines(text: str) -> str:
    """Make each line of a text printable; its line breaks stay."""
    return "\n".join(map(printable, text.split("\n")))


def printable_bytes(name: bytes) -> str:
    """Spell a file's name as in the records of a set: bytes that are not UTF-8 and control characters become \\xNN.

    Keys, records and manifests depend on this spelling, so it must never change.
    """
    return name.decode("utf-8", "backslashreplace").translate(CONTROLS)


def in_markdown(text: str) -> str:
    """Turn text into one line that Markdown and HTML show unchanged. The bytes of README.md depend on it."""
    return MARKDOWN.sub(r"\\\1", printable(text))
