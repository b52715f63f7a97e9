"""What keep_memory is for: a freed block is there for the next one."""

import ctypes
import subprocess
import sys

import pytest

CODE = """
import resource, sys
import numpy as np
from ipmodel.process.malloc import keep_memory

if sys.argv[1] == "kept":
    keep_memory()
np.full(64 << 20, 1, np.uint8)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(4):
    np.full(64 << 20, 1, np.uint8)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="the C library is not glibc")
def test_freed_blocks_need_no_fresh_pages() -> None:
    faults = {}
    for mode in ("kept", "given back"):
        command = [sys.executable, "-c", CODE, mode]
        faults[mode] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    assert faults["kept"] < 100 <= faults["given back"]
