"""New weights for the hierarchy, made beside the questions: the second buffer, and the thread that fills it.

A wish holds new weights and where the units are. The thread makes the metric and the labels from it without the
interpreter's lock, and whoever asks next takes what was made. A newer wish replaces one that has not begun; what was
made for older weights is not used. Nothing that questions read is written here.
"""

import os
import sys
import threading
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from routing import cch
from routing.cch import Metric
from routing.labels import PLACED, READY, Network, Units, label_all

NICER: Final = 5  # a third of the processor when somebody else wants it all

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
        self._thread: threading.Thread | None = None
        self._spare: Metric | None = None

    def ask(self, wish: Wish) -> None:
        """Begin to prepare; what is being prepared for older weights is finished first, and then not used."""
        with self._lock:
            self._wish = wish
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="weights", daemon=True)
                self._thread.start()

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
        thread = self._thread
        if thread is not None:
            thread.join()

    def _run(self) -> None:
        if sys.platform == "linux":  # where a thread has a niceness of its own: questions come first
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0) + NICER)
        while True:
            with self._lock:
                wish, self._wish = self._wish, None
                if wish is None:
                    self._thread = None
                    return
                spare, self._spare = self._spare, None
            try:
                made = _made(wish, spare)
            except BaseException:
                with self._lock:
                    self._thread = None
                raise
            with self._lock:
                self._made = made


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
