"""Bitstreams that are already what a recipe's transcode makes: they need not be transcoded again."""

from pathlib import Path

from ipdata.video.decode import PICTURE_START, SourceFacts, coded_picture_types
from ipdata.video.transcode import Transcode

BEGINNING = b"\0\0\1"  # of an elementary stream; containers begin with something else
MAX_BITS = 64  # of a picture's header up to its quantiser


def bitstream_in(path: Path, settings: Transcode, facts: SourceFacts) -> bytes:
    """The file's bytes if it is an undamaged MPEG-4 elementary stream of this size, GOP and quantiser, otherwise b"".

    facts: those of the file, from a decode that found no frame beyond the recipe's limit.

    Raises: OSError if it cannot be read.
    """
    if facts.damaged or (facts.width, facts.height) != (settings.width, settings.height):
        return b""
    with path.open("rb") as file:
        if file.read(len(BEGINNING)) != BEGINNING:
            return b""
        m4v = BEGINNING + file.read()
    if coded_picture_types(m4v) != settings.picture_types(facts.frames):
        return b""
    return m4v if first_quantiser(m4v) == settings.quantiser else b""


def first_quantiser(m4v: bytes) -> int | None:
    """The quantiser of the first I-picture, of a stream with 25 ticks a second; None if it is coded otherwise.

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
