"""Builds whose workers are jobs of a real Slurm, which `tests/slurm/run` starts. Jobs are cancelled and end."""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from amounts import FULL
from built_sets import quick_options, tree
from children import MARK, wait_for_none
from clusters import SIMULATOR, flow_options, payloads_of, wait_for
from commands import in_process

pytestmark = pytest.mark.skipif(
    "IPTSN_SLURM" not in os.environ, reason="NO SLURM: tests/slurm/run starts one, for .ci/run"
)
JOB_S = 60  # the shortest walltime that Slurm knows


def profile(folder: Path, *, jobs: int, walltime: str = "00:10:00") -> Path:
    path = folder / "profile.toml"
    path.write_text(
        f"""
        kind = "slurm"
        processes = 2
        memory = "2GiB"
        walltime = "{walltime}"
        minimum_jobs = {jobs}
        maximum_jobs = {jobs}
        interface = "lo"
        """
    )
    return path


def jobs() -> list[str]:
    """Numbers of the jobs that run or queue."""
    done = subprocess.run(["squeue", "--noheader", "--format=%i %t"], capture_output=True, text=True, check=True)
    return [line.split()[0] for line in done.stdout.splitlines() if line.split()[1] in ("R", "PD", "CF")]


def begun(out: Path, *arguments: str) -> subprocess.Popen[str]:
    """A build; its processes, and those of its jobs, have its output as a mark in their environment."""
    environment = os.environ | {MARK: str(out)}  # sbatch gives a job the environment
    command = [sys.executable, "-m", "ipdata.cli", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)


def videos_done(out: Path) -> int:
    log = out / ".build" / "log.jsonl"
    return log.read_text().count("\n") if log.exists() else 0


def check_sound(out: Path, reference: Path, options: dict[str, object], *more: str) -> None:
    """The set has the bytes of one that was built without a cluster, and nothing of the build runs or lies around."""
    assert in_process("ipdata.cli", [*quick_options(reference, scheduler="none", **options), *more]).returncode == 0
    assert tree(out) == tree(reference)
    wait_for(lambda: not jobs(), timeout_s=30)
    wait_for_none(str(out))
    assert not (out / ".build" / "tmp").exists()


def test_a_job_that_is_cancelled_in_mid_build_costs_no_byte(tmp_path: Path) -> None:
    out, options = tmp_path / "set", {"columns": "mv,video", "limit_videos": 18}
    build = begun(out, *quick_options(out, cluster=profile(tmp_path, jobs=2), **options))
    wait_for(lambda: build.poll() is not None or videos_done(out) >= 2, timeout_s=120)
    assert build.poll() is None, build.communicate()
    below = os.walk(out / ".build" / "tmp")  # from which the build removes folders meanwhile
    keys = [Path(folder) / name for folder, _, names in below for name in names if name.endswith(".pem")]
    assert {path.name for path in keys} == {"ca_file.pem", "cert.pem", "key.pem"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert {stat.S_IMODE(path.parent.stat().st_mode) for path in keys} == {0o700}
    running = jobs()
    assert len(running) == 2
    subprocess.run(["scancel", running[0]], check=True)
    _, errors = build.communicate(timeout=120)
    assert build.returncode == 0 and "Traceback" not in errors, errors
    check_sound(out, tmp_path / "reference", options)


def test_flow_runs_in_jobs_of_the_pool_of_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numba's CUDA simulator stands for the GPU. A comment tells the jobs of the two pools apart."""
    monkeypatch.setenv(*next(iter(SIMULATOR.items())))
    path = profile(tmp_path, jobs=1)
    pool = 'processes = 1\nmemory = "1GiB"\ndirectives = ["--comment=with-gpu"]'
    path.write_text(f"{path.read_text()}\n[gpu]\n{pool}\n")
    out = tmp_path / "set"
    build = begun(out, *flow_options(out, cluster=path, flow_backend="cuda", columns="flow,mv"))
    seen: set[str] = set()
    while build.poll() is None:
        done = subprocess.run(["squeue", "--noheader", "--format=%k"], capture_output=True, text=True, check=True)
        seen.update(done.stdout.split())
        time.sleep(0.2)
    _, errors = build.communicate()
    assert build.returncode == 0 and "Traceback" not in errors, errors
    assert "with-gpu" in seen and len(seen) == 2
    wait_for(lambda: not jobs(), timeout_s=30)
    assert (
        in_process("ipdata.cli", flow_options(tmp_path / "alone", scheduler="none", columns="flow,mv")).returncode == 0
    )
    for column in ("flow", "mv"):
        assert payloads_of(out, column) == payloads_of(tmp_path / "alone", column)


def test_a_profile_that_the_batch_system_refuses_ends_the_build_in_one_line(tmp_path: Path) -> None:
    path, out = profile(tmp_path, jobs=1), tmp_path / "set"
    path.write_text(f'{path.read_text()}\nqueue = "nowhere"\n')
    _, errors = begun(out, *quick_options(out, cluster=path)).communicate(timeout=60)
    assert "Traceback" not in errors, errors
    last = errors.splitlines()[-1]
    assert last.startswith("error: the batch system takes no job: ") and "invalid partition specified: nowhere" in last
    wait_for_none(str(out))


def test_all_jobs_cancelled_are_replaced(tmp_path: Path) -> None:
    out, options = tmp_path / "set", {"columns": "mv,video", "limit_videos": 18}
    build = begun(out, *quick_options(out, cluster=profile(tmp_path, jobs=1), **options))
    wait_for(lambda: build.poll() is not None or videos_done(out) >= 2, timeout_s=120)
    for job in jobs():
        subprocess.run(["scancel", job], check=True)
    _, errors = build.communicate(timeout=120)
    assert build.returncode == 0 and "Traceback" not in errors, errors
    check_sound(out, tmp_path / "reference", options)


@pytest.mark.skipif(not FULL, reason="takes minutes; IPTSN_FAULTS=full")
def test_walltime_ends_jobs_and_not_the_build(tmp_path: Path) -> None:
    out, options = tmp_path / "set", {"columns": "mv,flow", "limit_videos": 12}
    walltime = profile(tmp_path, jobs=1, walltime=f"00:{JOB_S // 60:02}:00")
    more = "--set=synthetic.frames=450"  # so much that it takes longer than a job
    build = begun(out, *quick_options(out, cluster=walltime, **options), more)
    seen: set[str] = set()
    while build.poll() is None:
        seen.update(jobs())
        time.sleep(0.5)
    _, errors = build.communicate()
    assert build.returncode == 0 and "Traceback" not in errors and len(seen) > 1, (seen, errors)
    check_sound(out, tmp_path / "reference", options, more)


@pytest.mark.skipif(not FULL, reason="takes minutes; IPTSN_FAULTS=full")
def test_a_real_dataset_outlives_walltimes_and_cancelled_jobs(tmp_path: Path, data: Path) -> None:
    """UT-Interaction's clips; each job ends after a minute, and some are cancelled before."""
    out, reference = tmp_path / "set", tmp_path / "reference"
    arguments = ["build", "--dataset=folder", f"--source={data / 'ut_interaction'}", "--recipe=small"]
    arguments += ["--set=transcode.width=176", "--set=transcode.height=132"]  # so much work that walltimes end jobs
    short = profile(tmp_path, jobs=1, walltime=f"00:{JOB_S // 60:02}:00")
    build = begun(out, *arguments, f"--out={out}", f"--cluster={short}")
    seen: set[str] = set()
    cancelled = 0
    while build.poll() is None:
        running = jobs()
        seen.update(running)
        if running and cancelled < 2 and videos_done(out) >= 20 * (cancelled + 1):
            subprocess.run(["scancel", running[0]], check=True)
            cancelled += 1
        time.sleep(0.5)
    _, errors = build.communicate()
    assert build.returncode == 0 and "Traceback" not in errors and cancelled == 2, errors
    assert len(seen) >= 2 + cancelled, (seen, errors)  # one of them reached its walltime
    assert in_process("ipdata.cli", [*arguments, f"--out={reference}", "--scheduler=none"]).returncode == 0
    assert tree(out) == tree(reference)
    wait_for(lambda: not jobs(), timeout_s=30)
    wait_for_none(str(out))
