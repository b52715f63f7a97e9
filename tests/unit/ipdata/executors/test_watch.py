"""When a worker or a scheduler counts as silent, by a clock that the tests turn."""

import math
from concurrent.futures import Future

import pytest

from ipdata.errors import BuildError
from ipdata.executors import watch
from ipdata.executors.watch import ASK_S, PAUSE_S, SAY_S, SILENT_S, Watch, WorkerFields

PATIENCE_S = 60.0


class Cluster:
    """Stands for a scheduler: answers at once, unless it is frozen."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, wanted: tuple[str, ...] = (), patience_s: float = PATIENCE_S
    ) -> None:
        self.workers: dict[str, WorkerFields] = {"a": (1, set(), 0.0, False), "b": (1, {"GPU"}, 0.0, False)}
        self.frozen: set[str] = set()
        self.ended: list[str] = []
        self.questions = 0
        self.now_s = 100.0
        monkeypatch.setattr(watch.time, "monotonic", lambda: self.now_s)
        self.watch = Watch(
            "tcp://s:1",
            wanted=wanted,
            ask=self.ask,
            end=self.end,
            cure=lambda resource: f"add {resource or 'any'}",
            patience_s=patience_s,
        )

    def ask(self) -> Future[dict[str, WorkerFields]]:
        self.questions += 1
        answer: Future[dict[str, WorkerFields]] = Future()
        if "scheduler" not in self.frozen:
            answer.set_result(dict(self.workers))
        return answer

    def end(self, address: str, heartbeat_s: float) -> Future[bool]:
        assert self.workers[address][2] == heartbeat_s
        self.ended.append(address)
        answer: Future[bool] = Future()
        answer.set_result(True)
        return answer

    def run(self, seconds: float, *, step_s: float = 1.0) -> None:
        for _ in range(round(seconds / step_s)):
            self.now_s += step_s
            for address, (threads, resources, _, paused) in self.workers.items():
                if address not in self.frozen:
                    self.workers[address] = (threads, resources, self.now_s, paused)
            self.watch.look()


def test_only_a_worker_without_heartbeats_is_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster(monkeypatch)
    cluster.run(10)
    cluster.frozen.add("b")
    cluster.run(SILENT_S - 2)
    assert not cluster.ended
    cluster.run(2 * ASK_S + 4)
    assert cluster.ended == ["b"]
    assert "worker b was silent for 60 s and was ended; others do its work" in caplog.text


def test_questions_do_not_grow_with_the_number_of_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch)
    cluster.run(100, step_s=0.01)
    assert cluster.questions <= 100 / ASK_S + 1


def test_a_pause_of_this_process_makes_nobody_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a Ctrl-Z, the first answers are from before. All processes of a local cluster were stopped with it."""
    cluster = Cluster(monkeypatch)
    cluster.run(10)
    cluster.frozen |= {"a", "b"}
    cluster.now_s += 3600
    cluster.run(SILENT_S - PAUSE_S - 2 * ASK_S)
    cluster.frozen.clear()
    cluster.run(2 * SILENT_S)
    assert not cluster.ended


def test_a_scheduler_that_does_not_answer_ends_the_build(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch)
    cluster.run(10)
    cluster.frozen.add("scheduler")
    cluster.run(SILENT_S - 1)
    with pytest.raises(BuildError, match=r"the Dask scheduler tcp://s:1 has not answered for 60 s; .*what is done is"):
        cluster.run(ASK_S + 2)


def test_a_build_waits_for_the_workers_that_it_lacks_while_others_work(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = Cluster(monkeypatch, wanted=("GPU",))
    cluster.run(10)
    del cluster.workers["b"]
    for _ in range(4):
        cluster.run(PATIENCE_S - ASK_S)
        cluster.watch.working()
    with pytest.raises(BuildError, match="the cluster has had no worker with the resource GPU for 60 s; add GPU"):
        cluster.run(PATIENCE_S + 2 * ASK_S + 2)
    cluster.workers.clear()
    with pytest.raises(BuildError, match="the cluster has had no worker at all for 60 s; add any"):
        cluster.run(PATIENCE_S + 2 * ASK_S + 2)


def test_a_patient_build_says_every_ten_seconds_what_it_waits_for(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster(monkeypatch, patience_s=math.inf)
    cluster.workers.clear()
    cluster.run(3600)
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "the cluster has no worker at all: waiting for one; add any"
    assert 3600 / (SAY_S + ASK_S) - 2 <= len(said[1:]) <= 3600 / SAY_S
    assert said[-1].startswith("the cluster has had no worker at all for 35") and said[-1].endswith("still waiting")


def test_a_cluster_whose_workers_are_all_paused_lacks_workers_and_says_why(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster(monkeypatch)
    cluster.workers = {"a": (1, set(), 0.0, True), "b": (1, set(), 0.0, False)}
    cluster.run(2 * PATIENCE_S)
    assert not cluster.watch.lacking
    cluster.workers["b"] = (1, set(), cluster.now_s, True)
    with pytest.raises(BuildError, match="has had no worker that takes work for 60 s; Dask has paused all of them"):
        cluster.run(PATIENCE_S + 2 * ASK_S + 2)
    assert "use more than four fifths of their memory: give workers more memory" in caplog.text
