"""The errors of a build: of the whole build, and of one of its videos."""


class BuildError(ValueError):
    """The build cannot go on; the message says what, where and the cure."""


class StrictError(BuildError):
    """--strict was given, and a video failed or is missing."""


class VideoError(Exception):
    """One video cannot be extracted.

    stage and code: of shards.failures. detail: free text for the log and the report.
    """

    def __init__(self, stage: str, code: str, detail: str) -> None:
        super().__init__(f"{stage}: {code}: {detail}")
        self.stage, self.code, self.detail = stage, code, detail
