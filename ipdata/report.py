"""Texts about a build: the lines of its log, its report, and one line for each failure."""

import time
from collections.abc import Sequence
from typing import Any

from ipdata.executors.base import VideoDone
from ipdata.steps.extract import Failed
from ipdata.steps.plan import Plan
from shards import canonical
from shards.failures import reason_of
from shards.manifest import Manifest


def log_line(event: VideoDone) -> dict[str, Any]:
    """A video's line in .build/log.jsonl. It has times and error texts, which must not get into the set."""
    line: dict[str, Any] = {"at": time.time(), "key": event.key, "frames": event.frames, "seconds": event.seconds}
    return line if event.failed is None else {**line, **event.failed.failure.to_value(), "detail": event.failed.detail}


def failure_line(failed: Failed) -> str:
    """Describe a failure in one line: the video, the stage and the reason."""
    failure = failed.failure
    return f"{failure.name}: {reason_of(failure.stage, failure.code, failed.detail)}"


def report_of(plan: Plan, manifest: Manifest, failures: Sequence[Failed]) -> bytes:
    """The content of .build/report.json: all failed, missing and unlisted names. The terminal shows only the first."""
    details = {failed.failure.key: failed.detail for failed in failures}
    return canonical.dumps(
        {
            "samples": manifest.samples,
            "failed": [{**failure.to_value(), "detail": details.get(failure.key, "")} for failure in manifest.failed],
            "missing": plan.listing.missing,
            "unlisted": plan.listing.unlisted,
        }
    )
