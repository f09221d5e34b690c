"""New weights for the hierarchy, made beside the questions: the second buffer, and the thread that fills it.

A wish holds new weights and where the units are. The thread makes the metric and the labels from it without the
interpreter's lock, and whoever asks next takes what was made. A newer wish replaces one that has not begun; what was
made for older weights is not used. Nothing that questions read is written here.
"""

import _thread
import threading
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing import cch
from routing.cch import Metric
from routing.labels import PLACED, READY, Network, Units, label_all

HEAD_START_S: Final = 0.02
"""For the first answers on new weights: they have the memory and the interpreter to themselves."""

Ints = NDArray[np.int32]


class Wish(NamedTuple):
    """What to prepare: weights with their version, and the units as they stand now."""

    net: Network  # with the new weights, and a metric that is not of them
    version: int
    state: NDArray[np.uint8]
    edge: Ints
    offset: NDArray[np.float64]
    width: int


class Made(NamedTuple):
    """What was prepared: the network with its metric, and the labels of the units that were READY."""

    net: Network
    label: Ints
    wish: Wish


class Renewal:
    """One thread at a time, begun when there is a wish and ended when there is none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wish: Wish | None = None
        self._made: Made | None = None
        self._spare: Metric | None = None
        self._idle, self._hurry = threading.Event(), threading.Event()
        self._idle.set()

    def ask(self, wish: Wish) -> None:
        """Begin to prepare; what is being prepared for older weights is finished first, and then not used."""
        with self._lock:
            self._wish = wish
            if self._idle.is_set():
                self._begin()

    def taken(self, version: int) -> Made | None:
        """What was prepared for these weights, once; None as long as there is nothing."""
        if self._made is None:
            return None
        with self._lock:
            made, self._made = self._made, None
        if made is not None and made.wish.version != version:
            self._spare = made.net.metric
            return None
        return made

    def give_back(self, metric: Metric) -> None:
        """A metric that no question reads any more is room for the next."""
        self._spare = metric

    def wait(self) -> None:
        """Return when nothing is being prepared."""
        self._hurry.set()
        self._idle.wait()
        self._hurry.clear()

    def _begin(self) -> None:
        """Start the thread, with the lock held. Raises RuntimeError when the machine gives none: the renewal is idle
        then, and keeps the wish for the next time."""
        self._idle.clear()
        try:
            # Not threading.Thread: its start waits for the thread to run, on a busy machine longer than an answer.
            _thread.start_new_thread(self._run, ())
        except RuntimeError:
            self._idle.set()
            raise

    def _run(self) -> None:
        try:
            self._hurry.wait(HEAD_START_S)
            while (wish := self._next()) is not None:
                spare, self._spare = self._spare, None
                made = _made(wish, spare)
                with self._lock:
                    self._made = made
        except BaseException:
            with self._lock:
                if self._wish is None:
                    self._idle.set()
                else:  # of the time in which the last one failed: nobody else would begin with it
                    self._begin()
            raise

    def _next(self) -> Wish | None:
        """The newest wish; with none the thread is over, and the next wish begins another."""
        with self._lock:
            wish, self._wish = self._wish, None
            if wish is None:
                self._idle.set()
            return wish


def _made(wish: Wish, spare: Metric | None) -> Made:
    net = wish.net
    metric = cch.customise(net.shape, net.tail, net.head, net.ms, spare)
    net = net._replace(metric=metric)
    label = np.empty((len(wish.state), wish.width), np.int32)
    label_all(net, wish.state, wish.edge, wish.offset, label)
    return Made(net, label, wish)


def swapped(units: Units, made: Made) -> Units:
    """The units with the labels that were made; one that has moved, or was not there, has none and is labelled when
    somebody asks."""
    size = len(made.wish.state)
    same = np.zeros(len(units.state), bool)
    same[:size] = (
        (made.wish.state == READY) & (units.edge[:size] == made.wish.edge) & (units.offset[:size] == made.wish.offset)
    )
    label = made.label
    if size < len(units.state):  # more room was made meanwhile
        label = np.concatenate([label, np.empty((len(units.state) - size, made.wish.width), np.int32)])
    state = units.state.copy()
    state[(state == READY) & ~same] = PLACED
    return units._replace(label=label, state=state)
