"""Signals while a command runs: they are noted, heeded at a safe place, and handled as before afterwards."""

import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from shards import signals
from shards.signals import handled, interrupts_noted, sigterm_noted


@pytest.fixture
def dispositions() -> Iterator[None]:
    """Restores the handlers of signals when a test ends."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("dispositions")
def test_handled_signals_are_given_back_and_ignored_ones_stay_ignored() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell does in the background
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with handled([signal.SIGINT, signal.SIGTERM], signal.default_int_handler):
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) == signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with handled([signal.SIGINT], signal.default_int_handler, even_ignored=True):
        assert signal.getsignal(signal.SIGINT) == signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


@pytest.mark.usefixtures("dispositions")
def test_outside_the_main_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGTERM)

    def in_a_thread() -> object:
        with handled([signal.SIGTERM], signal.SIG_IGN, even_ignored=True), sigterm_noted(), interrupts_noted():
            return signal.getsignal(signal.SIGTERM)

    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(in_a_thread).result() == before


@pytest.mark.usefixtures("dispositions")
@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_sigterm_is_noted_and_ignored_from_then_on(before: signal.Handlers) -> None:
    """Also if a job script ignores SIGTERM, because its children inherit that."""
    signal.signal(signal.SIGTERM, before)
    with sigterm_noted() as received:
        assert not received
    assert signal.getsignal(signal.SIGTERM) == before
    with sigterm_noted() as received:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGTERM)
        assert len(received) == 2
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_IGN


@pytest.mark.usefixtures("dispositions", "interruptible")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupts_are_raised_at_the_end_also_instead_of_another_error(number: signal.Signals) -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), interrupts_noted() as received:
        signal.raise_signal(number)
        reached.append(len(received))
        raise ZeroDivisionError  # like an error of workers that were interrupted too
    assert reached == [1]
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


@pytest.mark.usefixtures("interruptible")
def test_an_interrupt_when_all_is_done_is_heeded_and_one_that_is_repeated_waits_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reached = []
    with pytest.raises(KeyboardInterrupt), interrupts_noted():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)  # at once: one interrupt may arrive more than once
        reached.append("the end")
    monkeypatch.setattr(signals, "PATIENCE_S", 0)
    with pytest.raises(KeyboardInterrupt), interrupts_noted():
        signal.raise_signal(signal.SIGTERM)
        reached.append("the repeated one")
        signal.raise_signal(signal.SIGTERM)
        reached.append("beyond it")
    assert reached == ["the end", "the repeated one"]
