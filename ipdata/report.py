"""Texts about a build: all names that are not in the set, and one line for each failure."""

from collections.abc import Sequence

from ipdata.steps.extract import Failed
from ipdata.steps.plan import Plan
from shards import canonical
from shards.failures import reason_of
from shards.manifest import Manifest


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
