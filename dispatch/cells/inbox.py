"""What another region or cell says to one of ours: understood, sealed anew, committed, and only then answered.

The same message again finds everything so and is answered the same.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from dispatch.actors import require
from dispatch.calling.calls import CallerKnown
from dispatch.cells.exchange import Answer, CallEvidence, CallOffer, Document, Message, answer, fault_in, received
from dispatch.core.commands import Command, LocateCall, TakeCall
from dispatch.core.terms import SYSTEM, ActorId, Body, Call, LocationFix, RegionId
from dispatch.engine import Engine
from dispatch.errors import ServiceAway
from dispatch.ids import IdSource
from dispatch.store import Store
from dispatch.web import application, bodies
from dispatch.web.problems import Fault, Problem
from dispatch.web.routes import Route
from dispatch.writing.journal import canonical, commitment
from dispatch.writing.records import Personal

BODY_MAX = 8 * 1024 * 1024
"""A call with as many and as long notes as there can be."""


Hear = Callable[[RegionId, LocateCall, tuple[Personal, ...]], Awaitable[object]]
"""Puts evidence to a call of ours as if it had come in here, with the personal documents of its words."""


class NoteKnown(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a note's document must say to be shown."""

    text: str
    actor: str
    body: Body | None = None


class Inbox:
    """`receive` is called for a region that this process leads."""

    def __init__(self, engine: Engine, store: Store, ids: IdSource) -> None:
        self._engine = engine
        self._store = store
        self._ids = ids
        self.on_taken: list[Callable[[Call], Awaitable[object]]] = []
        """Told of each call that came from another cell: its handset may still send where it is."""
        self.hear_evidence: Hear | None = None
        """The reception's way; None while there is none yet."""
        self.counts = {"taken": 0, "forgone": 0, "heard": 0, "later": 0}

    async def receive(self, message: Message, actor: ActorId = SYSTEM, *, abroad: bool = False) -> Answer:
        """The answer, from what is committed. Raises ServiceAway when the region is not written here."""
        command, personal = received(message, actor), ()
        if abroad and isinstance(message, CallOffer) and isinstance(command, TakeCall):
            command, personal = await self._sealed(message, command)
        if isinstance(message, CallEvidence) and isinstance(command, LocateCall):
            await self._located(message, command, abroad)
        else:
            await self._engine.submit(message.to, command, personal=personal)
        state = self._engine.replicas.states[message.to]
        said = answer(state, message)
        if personal and isinstance(message, CallOffer) and message.call.call_id in state.calls:
            for told in self.on_taken:
                await told(state.calls[message.call.call_id])
        self.counts[said.outcome] += 1
        return said

    async def _sealed(self, message: CallOffer, command: TakeCall) -> tuple[Command, Any]:
        """The call under commitments of our own."""
        sealed, fresh = await self._kept(message)
        call = msgspec.structs.replace(
            command.call,
            device=self._sender(message),
            commitment=sealed.pop(message.call.call_id, None),
            evidence=tuple(_resealed(fix, sealed) for fix in command.call.evidence),
        )
        return msgspec.structs.replace(command, call=call, sealed=sealed), fresh

    def _sender(self, message: CallOffer) -> ActorId | None:
        """Whose app may follow the call: that of a call which comes home is known here. Whoever sent another one there
        is nobody here: a device of ours by the same name must not be shown it.
        """
        for state in self._engine.replicas.states.values():
            left = state.closed_calls.get(message.call.call_id)
            if left is not None and left.moving_to is not None:
                return left.device
        return ActorId(f"cell:{message.origin}")

    async def _located(self, message: CallEvidence, command: LocateCall, abroad: bool) -> None:
        """Evidence that another region took. Raises ServiceAway while nobody here can say where that is."""
        if self.hear_evidence is None or message.to not in self._engine.led:
            raise ServiceAway(f"nobody locates calls of {message.to} here now")
        personal: tuple[Personal, ...] = ()
        if abroad:
            sealed, personal = await self._kept(message)
            command = msgspec.structs.replace(command, fix=_resealed(command.fix, sealed))
        await self.hear_evidence(message.to, command, personal)

    async def _kept(self, message: CallOffer | CallEvidence) -> tuple[dict[str, str], tuple[Personal, ...]]:
        """Our commitments to the documents that came along, and those that are new to us. What we have kept since
        an earlier stay of the call holds on.
        """
        documents = {document.id: document for document in message.documents}
        known = await self._store.personal(list(documents))
        kept = {id: known.get(id) or self._personal(message.to, found) for id, found in documents.items()}
        sealed = {id: commitment(one.salt, one.document) for id, one in kept.items()}
        return sealed, tuple(one for id, one in kept.items() if id not in known)

    def _personal(self, region: RegionId, found: Document) -> Personal:
        """What cannot be read as it must be is kept as words: a person can still read it."""
        try:
            msgspec.json.decode(found.text, type=CallerKnown if found.kind == "call" else NoteKnown)
            document = canonical(msgspec.json.decode(found.text))
        except msgspec.DecodeError:
            document = canonical(NoteKnown(text=found.text, actor="unknown"))
        return Personal(id=found.id, region=region, kind=found.kind, salt=self._ids.salt(), document=document)

    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                method="POST",
                path="/api/v1/cells/{region}/messages",
                handler=self.hear,
                summary="What a neighbouring cell says to a region of this one",
                tag="cells",
                action="cell.exchange",
                request=Message,
                responses={200: Answer},
                body_max=BODY_MAX,
                errors=("unknown_region",),
                description="Idempotent by the id that each message carries. For neighbouring cells alone.",
            ),
        )

    async def hear(self, request: web.Request) -> web.Response:
        """POST /cells/{region}/messages."""
        actor, region = request[application.ACTOR], request.match_info["region"]
        raw = await bodies.read(request, BODY_MAX)
        message: Message = bodies.decode(raw, Message)  # type: ignore[arg-type]
        require(actor, "cell.exchange", message.origin)
        fault = fault_in(message) if message.to == region else "the address names another region"
        if fault is not None:
            raise Problem("invalid_body", fault, [Fault("/to", fault)])
        if message.to not in self._engine.replicas.states:
            raise Problem("unknown_region", f"No region {region[:16]} here.")
        return application.answer(await self.receive(message, actor.actor_id, abroad=True))


def _resealed(fix: LocationFix, sealed: dict[str, str]) -> LocationFix:
    """Evidence under our commitment to its words; words that did not come along are not promised."""
    if fix.note_id is None:
        return fix
    known = sealed.pop(fix.note_id, None)
    return msgspec.structs.replace(fix, note_id=fix.note_id if known else None, commitment=known)
