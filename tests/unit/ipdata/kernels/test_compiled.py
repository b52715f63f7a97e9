"""Machine code that Numba has cached is never older than the sources that it was compiled from."""

import ast
import hashlib
from pathlib import Path

import pytest

import ipdata.kernels

FOLDER = Path(ipdata.kernels.__file__).parent
PACKAGE = "ipdata.kernels."
MARK = "# Hash of the files of this folder that are compiled in (tests/unit/ipdata/kernels/test_compiled.py): "


def _compiled_in(path: Path) -> set[Path]:
    """The files of this package that a file imports from, and those that these import from."""
    imports = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
    modules = [node.module or "" for node in imports]
    assert "ipdata.kernels" not in modules, "import from the files of this folder, so that this test sees them"
    direct = {FOLDER / f"{name.removeprefix(PACKAGE)}.py" for name in modules if name.startswith(PACKAGE)}
    return direct.union(*map(_compiled_in, direct))


KERNELS = [path for path in sorted(FOLDER.glob("*.py")) if "@compiled" in path.read_text()]


def test_there_are_kernels_that_others_are_compiled_into() -> None:
    assert {path.name for path in _compiled_in(FOLDER / "tvl1.py")} >= {"compiled.py", "memory.py", "median.py"}
    assert len(KERNELS) > 4


@pytest.mark.parametrize("path", KERNELS, ids=lambda path: path.name)
def test_a_kernel_changes_with_what_is_compiled_into_it(path: Path) -> None:
    """Numba's cache looks at a function's own file. So that file names the state of the others."""
    sources = b"".join(other.read_bytes() for other in sorted(_compiled_in(path)))
    expected = MARK + hashlib.sha256(sources).hexdigest()[:12]
    found = [line for line in path.read_text().splitlines() if line.startswith(MARK)]
    assert found == [expected], f"{path.name} must have this line, and no other like it: {expected}"
