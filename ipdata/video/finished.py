"""Bitstreams that are already what a recipe's transcode makes: they need not be transcoded again."""

import shutil
from pathlib import Path

from ipdata.video.decode import PICTURE_START, coded_picture_types
from ipdata.video.decode_source import SourceFacts
from ipdata.video.transcode import Transcode
from shards.atomic import named

START_CODE = b"\0\0\1"  # an elementary stream begins with one; containers begin with something else
BEGINNING_BYTES = 4096  # of a file, in which the header of the first picture must lie
MAX_BITS = 64  # of a picture's header up to its quantiser


def copied_if_finished(path: Path, m4v: Path, settings: Transcode, facts: SourceFacts) -> bool:
    """Copy a file to m4v if it is an undamaged MPEG-4 elementary stream of this size, GOP and quantiser; tell whether.

    facts: those of the file, from a decode that stopped at the recipe's limit of frames, if it has one.

    Raises: OSError if it cannot be read or copied.
    """
    if facts.damaged or (facts.width, facts.height) != (settings.width, settings.height):
        return False
    with path.open("rb") as file:
        beginning = file.read(BEGINNING_BYTES)
    if not beginning.startswith(START_CODE) or first_quantiser(beginning) != settings.quantiser:
        return False
    if coded_picture_types(path) != settings.picture_types(facts.frames):
        return False
    with named(m4v):
        shutil.copyfile(path, m4v)
    return True


def first_quantiser(m4v: bytes) -> int | None:
    """The quantiser of the first I-picture in the bytes of a stream of 25 ticks a second; None if there is none.

    Its header (ISO/IEC 14496-2, section 6.2.5): 2 bits of type, bits of 1 for the seconds that have passed and a 0, a
    marker, 5 bits of ticks, a marker, 1 bit that says whether it is coded, 3 bits of a threshold, 5 bits of quantiser.
    """
    at = m4v.find(PICTURE_START) + len(PICTURE_START)
    header = m4v[at : at + MAX_BITS // 8]
    if at < len(PICTURE_START) or len(header) < MAX_BITS // 8:
        return None
    bits = f"{int.from_bytes(header, 'big'):0{MAX_BITS}b}"
    position = bits.find("0", 2) + 1  # after the seconds
    markers = bits[position : position + 1] + bits[position + 6 : position + 8]
    if bits[:2] != "00" or markers != "111":
        return None
    return int(bits[position + 11 : position + 16], 2)
