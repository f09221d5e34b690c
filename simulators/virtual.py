"""A loop on virtual time: nobody waits, one seed leads everything, and whole processes die or freeze on it.

What is ready at one moment runs in an order that the seed chooses, which is what finds a look, a wait and an
act on what has changed since. Work is done in the name of an owner, a simulated process: everything that runs
belongs to whoever started it. A killed owner's callbacks never run again, without a `finally`, as after
SIGKILL; a frozen one's wait until it is thawed, as after SIGSTOP.

asyncio runs callbacks in the order in which they were scheduled. Servers and threads keep no such order among
what they wake, so no code of ours may rely on it between two tasks.
"""

from __future__ import annotations

import asyncio
import heapq
from asyncio import Handle, Task, TimerHandle
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar, TypeVarTuple, Unpack

T = TypeVar("T")
Args = TypeVarTuple("Args")

START = datetime(2026, 11, 23, 6, 0, tzinfo=UTC)
STEPS_MAX = 3_000_000
"""A world that takes more steps of the loop than this hangs in one moment."""

DISK_S = 0.002
"""How long work takes that a real process gives to a thread."""


class Stuck(Exception):
    """Somebody waits for what can never happen, or nothing ever comes to an end."""


class Owner:
    """One simulated process, as far as the loop knows it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.dead = False
        self.frozen = False
        self.held: list[Handle] = []
        self.tasks: dict[Task[Any], None] = {}
        """What it has begun and not ended."""
        self.context = Context()
        self.context.run(_owner.set, self)


_owner: ContextVar[Owner | None] = ContextVar("owner", default=None)
_world = Context()
"""Of what belongs to no process, and goes on whoever dies."""


class VirtualLoop(asyncio.BaseEventLoop):
    """Runs callbacks and timers, and nothing else: no sockets, no threads, no signals."""

    def __init__(self, chance: Random) -> None:
        super().__init__()
        self.chance = chance
        self.steps = 0
        self._now_s = 0.0
        self._ready: Any
        self._scheduled: list[TimerHandle]
        self.set_task_factory(_owned)

    def time(self) -> float:
        """Virtual seconds since the world began."""
        return self._now_s

    def run_in_executor(self, executor: Any, func: Callable[[Unpack[Args]], T], *args: *Args) -> asyncio.Future[T]:
        """The work is done after a moment, in this thread."""
        done: asyncio.Future[T] = self.create_future()
        self.call_later(DISK_S, _do, done, func, args)
        return done

    def spawn(self, owner: Owner, work: Coroutine[Any, Any, T]) -> Task[T]:
        """Begin work in the name of a process."""
        return self.create_task(work, context=owner.context.copy())

    def call(self, owner: Owner, action: Callable[..., object], *args: Any) -> None:
        """Have a callback run in the name of a process, soon."""
        self.call_soon(action, *args, context=owner.context)

    def thaw(self, owner: Owner) -> None:
        """The process goes on where it was frozen; for it no time has passed, but its clocks say otherwise."""
        owner.frozen = False
        held, owner.held = owner.held, []
        self._ready.extend(held)

    def bury(self, owners: list[Owner]) -> None:
        """When the world is over: end what was left hanging, in peace and without any effect on it."""
        tasks: list[Task[Any]] = []
        for owner in owners:
            owner.dead = False
            self.thaw(owner)
            tasks += [task for task in owner.tasks if not task.done()]
        for task in tasks:
            task.cancel()
        if tasks:
            self.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))

    def _run_once(self) -> None:
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise Stuck(f"after {STEPS_MAX} steps of the loop, {self._now_s:.1f} s into the world")
        scheduled, ready = self._scheduled, self._ready
        while scheduled and scheduled[0]._cancelled:
            heapq.heappop(scheduled)
        if not ready:
            if not scheduled:
                raise Stuck("everybody waits for somebody else")
            self._now_s = max(self._now_s, scheduled[0].when())
        while scheduled and scheduled[0].when() <= self._now_s:
            ready.append(heapq.heappop(scheduled))
        now = list(ready)
        ready.clear()
        if len(now) > 1:
            self.chance.shuffle(now)
        for handle in now:
            self._run(handle)

    def _run(self, handle: Handle) -> None:
        if handle._cancelled:
            return
        owner: Owner | None = handle._context.get(_owner)  # type: ignore[attr-defined]
        if owner is not None and (owner.dead or owner.frozen):
            owner.held.append(handle)
            return
        handle._run()

    def _process_events(self, event_list: Any) -> None:
        """There are none: nothing here has a socket."""

    def _write_to_self(self) -> None:
        """Nobody sleeps who would have to be woken."""

    def _timer_handle_cancelled(self, handle: TimerHandle) -> None:
        """Cancelled timers leave the heap when their time has come."""


class VirtualClock:
    """Service time and the wall, both the loop's."""

    speed: float = 1.0

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop

    def now(self) -> datetime:
        return START + timedelta(seconds=self._loop.time())

    def wall(self) -> datetime:
        return self.now()

    def wall_delay_s(self, service_delay_s: float) -> float:
        """How many seconds to sleep until so many seconds of service time have passed."""
        return max(0.0, service_delay_s)

    def at_least(self, moment: datetime) -> None:
        """All processes have one clock, so none is behind another."""


def _owned(loop: asyncio.AbstractEventLoop, work: Any, *, context: Context | None = None) -> Task[Any]:
    """A task belongs to whoever begins it, so that it ends with that process."""
    task: Task[Any] = Task(work, loop=loop, context=context)
    owner = (context.get(_owner) if context is not None else None) or _owner.get()
    if owner is not None:
        owner.tasks[task] = None
        # Let go at its end, so that asyncio says at once what it failed with if nobody asks.
        task.add_done_callback(owner.tasks.pop, context=_world)
    return task


def _do(done: asyncio.Future[Any], func: Callable[..., Any], args: tuple[Any, ...]) -> None:
    if done.cancelled():
        return
    try:
        done.set_result(func(*args))
    except Exception as fault:
        done.set_exception(fault)
