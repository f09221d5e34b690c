"""Faults of our own that a loop of the service caught, said and went on from: a simulated world ends with them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from simulators.writer import Broken, our_fault


class _Bugs(logging.Handler):
    """A fault of our own that a loop caught, said and went on from: here it is one all the same."""

    def __init__(self, fail: Callable[[Exception], None]) -> None:
        super().__init__(logging.ERROR)
        self._fail = fail

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            self._fail(our_fault(record.getMessage(), record.exc_info[1]))
        elif "invariant broken" in record.getMessage():
            self._fail(Broken(record.getMessage()))


@contextmanager
def caught_bugs(fail: Callable[[Exception], None]) -> Iterator[None]:
    """Report every fault that the service logs meanwhile; nothing of it is written anywhere else."""
    handler = _Bugs(fail)
    loggers = [logging.getLogger(name) for name in ("dispatch", "consoles")]
    before = [(logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, (propagate, level) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.propagate, level_before = propagate, level
            logger.setLevel(level_before)
