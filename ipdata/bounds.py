"""Bounds of a build's files and of the numbers in them. A file from elsewhere may have any.

Not all numbers can be added up or shown, and not all files fit into memory.
"""

from typing import Annotated

import msgspec

LAST_TIME_S = 253_402_300_799.0  # s since 1970: the end of the year 9999, after which no calendar goes

Time = Annotated[float, msgspec.Meta(ge=0.0, le=LAST_TIME_S)]  # s since 1970
Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=LAST_TIME_S)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]  # a float holds it exactly

MAX_FILE_BYTES = 1 << 28  # of a file that is read whole; that of a build of 1,000,000 videos has far fewer
