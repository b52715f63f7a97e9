"""Pages of contact sheets: one HTML file that needs no network, and a folder of pictures beside it.

`page.html` beside this module has its style and its script.
"""

import html
import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from urllib.parse import quote, unquote

import cv2

from shards.arrays import U8
from shards.atomic import named, write_published
from shards.errors import ShardError
from shards.text import printable

PAGE, PICTURES = "index.html", "pictures"
UNFINISHED = ".unfinished-pictures"  # where pictures wait until all of them are there
MARK = '<meta name="generator" content="ip-tsn">'  # of a page that was made here
TEMPLATE = "page.html"  # beside this module
QUALITY = 88  # of the JPEG pictures


@dataclass(frozen=True, kw_only=True)
class Guess:
    """A class that a stream holds for possible."""

    class_name: str
    probability: float
    is_right: bool


@dataclass(frozen=True, kw_only=True)
class Item:
    """One video on a page."""

    title: str
    lines: Sequence[str] = ()  # below the title
    picture: str = ""  # its address on the page
    facets: dict[str, str] = field(default_factory=dict)  # what the lists of the page choose by
    opinions: dict[str, Sequence[Guess]] = field(default_factory=dict)  # by stream


@dataclass(frozen=True, kw_only=True)
class Section:
    """Videos that belong together, such as those of a class."""

    title: str
    note: str  # beside the title
    items: Sequence[Item]


class PageDirectory:
    """The directory of a page. Pictures wait in a directory of their own until the page is published."""

    def __init__(self, directory: Path) -> None:
        """Raises: ShardError if the directory holds something else than a page that was made here; OSError."""
        self._directory, self._waiting = directory, directory / UNFINISHED
        self._page, self._pictures = directory / PAGE, directory / PICTURES
        self._earlier = self._of_earlier_page()
        begun = self._waiting.is_dir()  # by a command that was interrupted
        if directory.is_dir() and any(directory.iterdir()) and not (begun or self._page.is_file()):
            raise ShardError(f"{directory}: is not empty and has no {PAGE}; name a new directory for the page")
        if begun:
            shutil.rmtree(self._waiting)
        self._waiting.mkdir(parents=True)

    def _of_earlier_page(self) -> set[str]:
        """Names of the pictures of the page that is there. Raises: ShardError if it was not made here; OSError."""
        if not self._page.is_file():
            return set()
        text = self._page.read_text("utf-8", "replace")
        if MARK not in text:
            cure = "name a new directory for the page"
            raise ShardError(f"{self._page}: is not a page that this package has made; {cure}")
        names = map(unquote, re.findall(rf'src="{PICTURES}/([^"/]+[.]jpg)"', text))
        return {name for name in names if Path(name).name == name}

    def add(self, name: str, picture: U8) -> str:
        """Write a picture (H, W, 3) uint8 RGB; return its address on the page. Raises: ShardError, OSError."""
        write_picture(self._waiting / name, picture)
        return f"{PICTURES}/{quote(name)}"

    def publish(self, text: str) -> Path:
        """Replace an earlier page and its pictures; return the page's path. Other files are left alone.

        In between there is no page: an old one would show new pictures.

        Raises: OSError.
        """
        self._page.unlink(missing_ok=True)
        self._pictures.mkdir(exist_ok=True)
        for name in self._earlier:
            (self._pictures / name).unlink(missing_ok=True)
        for picture in sorted(self._waiting.iterdir()):
            picture.replace(self._pictures / picture.name)
        write_published(self._page, text.encode("utf-8", "backslashreplace"), temporary_dir=self._directory)
        self._waiting.rmdir()
        return self._page


def write_picture(path: Path, picture: U8) -> None:
    """Write a JPEG. picture: (H, W, 3) uint8 RGB. Raises: ShardError if it cannot be encoded; OSError."""
    data = encoded(picture, name=str(path))
    with named(path):
        path.write_bytes(data)


def encoded(picture: U8, *, name: str) -> bytes:
    """The JPEG of a picture, (H, W, 3) uint8 RGB. Raises: ShardError that begins with the name."""
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise ShardError(f"{name}: cannot encode a picture of {picture.shape[1]}x{picture.shape[0]} px")
    return data.tobytes()


def page_of(title: str, about: str, sections: Sequence[Section]) -> str:
    """The page's HTML, with a list to choose by for each facet that has several values."""
    parts = {
        "TITLE": shown(title),
        "ABOUT": shown(about),
        "FILTERS": "\n".join(_filters(sections)),
        "SECTIONS": "\n".join(map(_section, sections)),
    }
    page = (resources.files("shards.sheet") / TEMPLATE).read_text("utf-8")
    for name, part in parts.items():
        page = page.replace(f"<!--{name}-->", part)  # no part has such a mark: `<` is escaped in all texts
    return page


def shown(text: str) -> str:
    """Text as HTML that shows it, without control characters."""
    return html.escape(printable(text))


def _filters(sections: Sequence[Section]) -> list[str]:
    values: dict[str, dict[str, None]] = {}
    for item in (item for section in sections for item in section.items):
        for name, value in item.facets.items():
            values.setdefault(name, {})[printable(value)] = None
    lists = []
    for name, found in values.items():
        options = "".join(f'<option value="{html.escape(value)}">{shown(value)}</option>' for value in sorted(found))
        if len(found) > 1:
            lists.append(
                f'<select name="{html.escape(name)}"><option value="">{shown(name)}: all</option>{options}</select>'
            )
    return lists


def _section(section: Section) -> str:
    heading = f"<h2>{shown(section.title)} <span>{shown(section.note)}</span></h2>"
    items = "\n".join(map(_item, section.items))
    return f'<section data-title="{shown(section.title)}">{heading}<div class="items">{items}</div></section>'


def _item(item: Item) -> str:
    lines = "".join(f"<small>{shown(line)}</small>" for line in item.lines)
    picture = f'<img loading="lazy" src="{html.escape(item.picture)}" alt="">' if item.picture else ""
    opinions = "".join(
        f"<div><i>{shown(stream)}</i>{''.join(map(_guess, guesses))}</div>" for stream, guesses in item.opinions.items()
    )
    facets = html.escape(json.dumps({name: printable(value) for name, value in item.facets.items()}))
    caption = f"<figcaption>{shown(item.title)}{lines}</figcaption>"
    return f'<figure data-facets="{facets}">{caption}{picture}<div class="opinions">{opinions}</div></figure>'


def _guess(guess: Guess) -> str:
    """A class with a bar as long as its probability."""
    percent, kind = 100 * guess.probability, "guess right" if guess.is_right else "guess"
    bar = f'<u style="width:{percent:.1f}%"></u>'
    return f'<div class="{kind}"><span>{shown(guess.class_name)}</span><b>{percent:.1f} %</b>{bar}</div>'
