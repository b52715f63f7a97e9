"""Rewrites what is generated in a README.md, and keeps what people wrote around it.

Generated text stands between two marks, in the front matter (YAML) and below it. All other lines are people's.
"""

import re
from collections.abc import Mapping, Sequence

RULE = "rewritten by `ipshards card`; write above or below"  # words for people: marks are known by what precedes them
YAML_MARKS = (f"# ip-tsn: begin, {RULE}", "# ip-tsn: end")
BODY_MARKS = (f"<!-- ip-tsn: begin, {RULE} -->", "<!-- ip-tsn: end -->")
UNKNOWN = "unknown"  # the licence of a set for which nobody has stated one
BYTE_ORDER_MARK = "\ufeff"
FENCE = "---"  # around the front matter
KEY = re.compile(r"[\"']?([A-Za-z_][A-Za-z0-9_-]*)[\"']?[ \t]*:")
DERIVED = ("configs", "dataset_info")  # keys of the front matter that only the set determines


def rewritten(old: str, *, matter: Mapping[str, str], body: str, license: str | None) -> str:
    """The new text of a README.md whose text was `old`; "" if there was none.

    A README without marks is a person's: all of it stays, and what is generated follows below it. A key of the front
    matter that a person wrote is not generated, so theirs counts.

    matter: what is generated in the front matter, as lines of YAML by top-level key. license: replaces every other one;
    None keeps a person's.
    """
    front, rest = _front_and_rest(old.removeprefix(BYTE_ORDER_MARK).splitlines(keepends=True))
    above, below, was_marked = _around(rest, BODY_MARKS)
    first, last, front_was_marked = _around(front, YAML_MARKS)
    if was_marked and not front_was_marked:  # an editor of metadata has dropped the marks, which are comments
        first, last = _without(first, DERIVED), _without(last, DERIVED)
    if license is not None:
        first, last = _without(first, ("license",)), [f"license: {license}\n", *_without(last, ("license",))]
    theirs = {_key_of(line) for line in (*first, *last)}
    generated = [f"{line}\n" for key, lines in matter.items() if key not in theirs for line in lines.splitlines()]
    yaml = [*first, *_between(YAML_MARKS, generated), *last]
    below_it = above if not above or was_marked else [*above, "\n"]
    marked = _between(BODY_MARKS, ["\n", body.strip("\n"), "\n", "\n"])
    return "".join([f"{FENCE}\n", *_ended(yaml), f"{FENCE}\n", *(_ended(below_it) or ["\n"]), *marked, *below])


def license_in(text: str) -> str:
    """The licence that the front matter of a README.md states; UNKNOWN if it states none on one line."""
    front, _ = _front_and_rest(text.splitlines())
    for line in front:
        if _key_of(line) == "license":
            return line.partition(":")[2].partition(" #")[0].strip().strip("\"'") or UNKNOWN
    return UNKNOWN


def _front_and_rest(lines: Sequence[str]) -> tuple[list[str], list[str]]:
    """The lines of the front matter, without its fences, and all lines after it."""
    if lines and lines[0].rstrip() == FENCE:
        for number, line in enumerate(lines[1:], 1):
            if line.rstrip() == FENCE:
                return list(lines[1:number]), list(lines[number + 1 :])
    return [], list(lines)


def _around(lines: Sequence[str], marks: tuple[str, str]) -> tuple[list[str], list[str], bool]:
    """The lines above and below what is marked, and whether there are two marks.

    Otherwise, all lines but marks that stand alone count as above: they may be a person's.
    """
    starts = tuple(mark.partition(",")[0] for mark in marks)
    found = [number for number, line in enumerate(lines) if line.startswith(starts)]
    if len(found) == 2 and all(lines[number].startswith(start) for number, start in zip(found, starts, strict=True)):
        return list(lines[: found[0]]), list(lines[found[1] + 1 :]), True
    return [line for line in lines if not line.startswith(starts)], [], False


def _between(marks: tuple[str, str], lines: Sequence[str]) -> list[str]:
    return [f"{marks[0]}\n", *lines, f"{marks[1]}\n"]


def _without(lines: Sequence[str], keys: Sequence[str]) -> list[str]:
    """YAML without some top-level keys and their values, which are the lines up to the next top-level key."""
    kept, dropping = [], False
    for line in lines:
        key = _key_of(line)
        if key is not None or line.startswith("#"):
            dropping = key in keys
        if not dropping:
            kept.append(line)
    return kept


def _key_of(line: str) -> str | None:
    found = KEY.match(line)
    return found[1] if found else None


def _ended(lines: list[str]) -> list[str]:
    """The same lines; the last one ends with a line break."""
    return lines if not lines or lines[-1].endswith("\n") else [*lines[:-1], lines[-1] + "\n"]
