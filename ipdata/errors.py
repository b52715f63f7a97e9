"""What can go wrong: with a build as a whole, or with one of its videos."""


class BuildError(ValueError):
    """The build cannot go on; the message says what, where and the cure."""


class StrictError(BuildError):
    """--strict, and a video failed or is missing."""


class VideoError(Exception):
    """One video cannot be extracted: at which stage, with which code of shards.failures.CODES, and details."""

    def __init__(self, stage: str, code: str, detail: str) -> None:
        super().__init__(f"{stage}: {code}: {detail}")
        self.stage, self.code, self.detail = stage, code, detail
