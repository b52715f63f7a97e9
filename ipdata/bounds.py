"""Bounds of the numbers in files of a build. A file from elsewhere may have some that cannot be added up or shown."""

from typing import Annotated

import msgspec

LAST_TIME_S = 253_402_300_799.0  # s since 1970: the end of the year 9999, after which no calendar goes

Time = Annotated[float, msgspec.Meta(ge=0.0, le=LAST_TIME_S)]  # s since 1970
Seconds = Annotated[float, msgspec.Meta(ge=0.0, le=LAST_TIME_S)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 53)]  # a float holds it exactly
