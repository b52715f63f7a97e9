"""Cluster profiles: what they must state, and what a batch system is told."""

import os
from pathlib import Path

import pytest

import pipelines
from ipdata.errors import BuildError
from ipdata.executors import Placement, executor_of
from ipdata.executors.dask_jobs import CLASSES, QueuedDask
from ipdata.executors.profile import ClusterProfile, load_profile

GIVEN = {"kind": "slurm", "processes": 4, "memory": "8GiB", "walltime": "01:30:00"}


@pytest.mark.parametrize("name", pipelines.names("clusters"))
def test_each_packaged_profile_is_one(name: str) -> None:
    executor = executor_of(Placement(cluster=name), scratch=Path("scratch"))
    assert isinstance(executor, QueuedDask) and executor.profile == load_profile(name)


def test_a_name_that_is_no_profile_is_called_so() -> None:
    with pytest.raises(pipelines.RecipeError, match="no profile 'nope': it is neither a file nor one of slurm"):
        load_profile("nope")


@pytest.mark.filterwarnings("ignore:OAR Job memory")
@pytest.mark.parametrize("kind", CLASSES)
def test_every_batch_system_gets_a_script_with_a_thread_for_each_process(kind: str, tmp_path: Path) -> None:
    import dask_jobqueue

    profile = ClusterProfile(**{**GIVEN, "kind": kind}, prologue=("echo begun",))
    options = QueuedDask(profile, video_timeout_s=1, scratch=tmp_path)._options(str(tmp_path))
    job_class = getattr(dask_jobqueue, CLASSES[profile.kind]).job_cls
    del options["scheduler_options"]  # of the cluster, not of its jobs
    script = job_class("tls://127.0.0.1:1", name="ipdata-0", protocol="tls://", **options).job_script()
    assert "--nthreads 1" in script and "--nworkers 4" in script and "--memory-limit 2.00GiB" in script
    assert "--lifetime 4860s --lifetime-stagger 270s" in script and "echo begun" in script


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"kind": "kubernetes"}, "kind must be one of 'slurm'"),
        ({"processes": 0}, "processes must be 1 or more, got 0"),
        ({"memory": "8"}, "memory must be a size such as \"16GiB\", and not 0, got '8'"),
        ({"memory": "0GiB"}, "and not 0, got '0GiB'"),
        ({"memory": "1.9GiB"}, "memory leaves each of 4 workers 486 MiB, and one needs at least 512 MiB"),
        ({"memory": "2000MB"}, "memory leaves each of 4 workers 477 MiB, and one needs at least 512 MiB"),
        ({"walltime": "90"}, "walltime must be \"hours:minutes:seconds\", and not 0, got '90'"),
        ({"walltime": "0:00:00"}, "and not 0, got '0:00:00'"),
        ({"minimum_jobs": 3, "maximum_jobs": 2}, "got 3 and 2"),
        ({"minimum_job": 3}, "unknown key minimum_job"),
        ({"gpu": {"processes": 0, "memory": "8GiB"}}, "gpu: processes must be 1 or more, got 0"),
        ({"gpu": {"memory": "8GiB"}}, "missing key gpu.processes"),
        ({"gpu": {"processes": 1, "memory": "8GiB", "walltime": "1:00:00"}}, "unknown key gpu.walltime"),
    ],
)
def test_a_profile_that_is_wrong_is_refused(changes: dict[str, object], said: str) -> None:
    with pytest.raises(pipelines.RecipeError) as refused:
        pipelines.from_table(ClusterProfile, {**GIVEN, **changes}, where="profile.toml")
    assert said in str(refused.value)


def test_flow_on_gpus_needs_a_pool_of_gpus(tmp_path: Path) -> None:
    from moving import task_of

    from ipdata.steps.output import Output
    from ipdata.steps.pack import ShardTask
    from ipdata.steps.plan import ShardPlan

    video = task_of(tmp_path / "any", "flow.backend=cuda", columns=("flow",))
    task = ShardTask(
        output=Output(tmp_path / "set"),
        plan=ShardPlan(shard="00000", videos={video.key: video.video}, subsets=None),
        columns=("flow",),
        videos=(video,),
        kept=None,
        published=frozenset(),
        drop_failed=False,
        strict=False,
    )
    executor = QueuedDask(ClusterProfile(**GIVEN), video_timeout_s=1, scratch=tmp_path)
    with pytest.raises(BuildError, match=r"--cluster has no workers with the resource GPU; add a table \[gpu\]"):
        next(executor.run([task]))


def test_a_build_without_workers_says_what_the_newest_log_ends_with(tmp_path: Path) -> None:
    executor = QueuedDask(ClusterProfile(**GIVEN), video_timeout_s=1, scratch=tmp_path)
    assert "newest log" not in executor._cure("")
    logs = tmp_path / "jobs"
    logs.mkdir()
    (logs / "ipdata-3.out").touch()  # of a job that has said nothing yet
    for number, words in enumerate(
        ["old", "no room\n" * 1000 + "\x1b[31mslurmstepd: error:\n\n  killed for memory  \n"]
    ):
        (logs / f"ipdata-{number}.out").write_text(words)
        os.utime(logs / f"ipdata-{number}.out", (1000 + number, 1000 + number))
    assert executor._cure("").endswith(
        "; the newest log ends with: no room / \\x1b[31mslurmstepd: error: / killed for memory"
    )
