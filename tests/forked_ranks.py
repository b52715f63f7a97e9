"""A quicker torchrun for tests: python forked_ranks.py COUNT SCRIPT ARGUMENTS..., where SCRIPT may be "ipmodel".

PyTorch is imported once, and each rank is a process that is forked afterwards. As under torchrun, ranks find each other
at a store of the parent, and when one fails, the others get SIGTERM and the status is 1.
"""

import importlib
import os
import runpy
import signal
import socket
import sys
from datetime import timedelta

import torch.distributed

USED = ("ipmodel.cli", "ipmodel.training.phases", "ipmodel.evaluation.evaluate", "torch.utils.tensorboard")


def run(rank: int, count: int, port: int, script: str) -> None:
    """What a rank does."""
    ranks = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
    store = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_USE_AGENT_STORE": True}
    variables = {**ranks, **store, "TORCHELASTIC_RESTART_COUNT": 0}
    os.environ.update({name: str(value) for name, value in variables.items()})
    if script == "ipmodel":
        runpy.run_module(script, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(script, run_name="__main__")


def wait(pids: set[int]) -> int:
    """Wait for all ranks. Returns 1 if one of them failed."""
    status = 0
    while pids:
        pid, ended = os.wait()
        pids.discard(pid)
        if ended and not status:
            status = 1
            for other in pids:
                os.kill(other, signal.SIGTERM)
    return status


def main() -> int:
    count, script = int(sys.argv[1]), sys.argv[2]
    sys.argv = sys.argv[2:]
    for name in USED:
        importlib.import_module(name)
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    pids = set()
    for rank in range(count):
        if (pid := os.fork()) == 0:
            server.close()
            run(rank, count, port, script)
            return 0
        pids.add(pid)
    # Only now, because threads do not survive a fork.
    store = torch.distributed.TCPStore(
        "127.0.0.1",
        port,
        is_master=True,
        wait_for_workers=False,
        timeout=timedelta(minutes=2),
        master_listen_fd=server.detach(),
    )
    status = wait(pids)
    del store
    return status


if __name__ == "__main__":
    sys.exit(main())
