"""Makes the golden set of a format: python tests/golden/make.py FORMAT

Run it only for a new format, into a new directory: the sets guard that today's readers read what older writers wrote.
"""

import shutil
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parents[2])]

import made_sets  # noqa: E402


def scenes() -> list[made_sets.Scene]:
    """Two classes, two groups of subsets, a video that has only an I-frame, and sizes that 16 does not divide."""
    return made_sets.scenes(classes=2, per_class=2, frames=14, width=44, height=36)


if __name__ == "__main__":
    chosen = int(sys.argv[1])
    golden = Path(__file__).parent / f"format{chosen}"
    shutil.rmtree(golden, ignore_errors=True)
    made_sets.make_set(golden, scenes(), format=chosen)
