"""Progress of a training: of all phases that are left, not of the one that runs."""

import io

from conftest import Clock

from ipmodel.runs.progress import TrainingProgress, Work

PHASES = {"of_2d": Work(steps=10, cost=1.0), "p_stream": Work(steps=10, cost=4.0)}


def train(progress: TrainingProgress, phase: str, clock: Clock, *, first_step: int = 0) -> None:
    """The steps of a phase; one takes its cost in seconds, and half of it waiting."""
    work = PHASES[phase]
    progress.begin(phase, steps=work.steps, first_step=first_step)
    for step in range(first_step + 1, work.steps + 1):
        clock.now_s += work.cost
        progress.update(step=step, loss=0.5, clips=8, wait_s=work.cost / 2)


def test_the_time_left_counts_the_phases_to_come_by_their_cost(clock: Clock) -> None:
    stream = io.StringIO()
    progress = TrainingProgress(stream=stream)
    progress.plan(PHASES)
    train(progress, "of_2d", clock)
    train(progress, "p_stream", clock)
    first, *_, last = stream.getvalue().splitlines()
    assert first == ("phase 1/2 of_2d, step 1/10, loss 0.500, 8.0 clips/s, 0 min 49 s left, 50% waiting for data")
    assert last == "phase 2/2 p_stream, step 10/10, loss 0.500, 2.0 clips/s, 0 min 00 s left, 50% waiting for data"


def test_steps_of_an_earlier_command_and_phases_of_another_process_say_nothing_of_the_pace(clock: Clock) -> None:
    stream = io.StringIO()
    progress = TrainingProgress(stream=stream)
    progress.plan(PHASES)
    train(progress, "p_stream", clock, first_step=8)  # of_2d was trained elsewhere meanwhile
    assert stream.getvalue().splitlines()[0] == (
        "phase 2/2 p_stream, step 9/10, loss 0.500, 2.0 clips/s, 0 min 04 s left, 50% waiting for data"
    )


def test_a_phase_alone_needs_no_plan(clock: Clock) -> None:
    stream = io.StringIO()
    train(TrainingProgress(stream=stream), "of_2d", clock)
    assert stream.getvalue().startswith("of_2d, step 1/10, loss 0.500, 8.0 clips/s, 0 min 09 s left, 50%")


def test_other_ranks_say_nothing(clock: Clock) -> None:
    stream = io.StringIO()
    train(TrainingProgress(enabled=False, stream=stream), "of_2d", clock)
    assert stream.getvalue() == ""
