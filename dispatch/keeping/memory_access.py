"""Operators, sessions and devices of the store's twin; the Postgres side is access.py."""

from dispatch.writing.records import Device, Operator, Session


class MemoryAccess:
    """The part of the twin that log-ins need."""

    def __init__(self) -> None:
        self._operators: dict[str, Operator] = {}
        self._sessions: dict[bytes, Session] = {}
        self._devices: dict[bytes, Device] = {}

    def _reach(self) -> None:
        raise NotImplementedError("the store says whether it is away")

    async def put_operator(self, operator: Operator) -> None:
        self._reach()
        self._operators[operator.username] = operator

    async def get_operator(self, username: str) -> Operator | None:
        self._reach()
        return self._operators.get(username)

    async def list_operators(self) -> list[Operator]:
        self._reach()
        return [self._operators[username] for username in sorted(self._operators)]

    async def put_session(self, session: Session) -> None:
        self._reach()
        assert session.username in self._operators, "a session belongs to an operator"
        self._sessions[session.token] = session

    async def get_session(self, token: bytes) -> Session | None:
        self._reach()
        return self._sessions.get(token)

    async def drop_session(self, token: bytes) -> None:
        self._reach()
        self._sessions.pop(token, None)

    async def drop_sessions(self, username: str) -> int:
        self._reach()
        ended = [token for token, session in self._sessions.items() if session.username == username]
        for token in ended:
            del self._sessions[token]
        return len(ended)

    async def put_device(self, device: Device) -> None:
        self._reach()
        self._devices[device.token] = device

    async def get_device(self, token: bytes) -> Device | None:
        self._reach()
        return self._devices.get(token)

    async def list_devices(self) -> list[Device]:
        self._reach()
        return sorted(self._devices.values(), key=lambda device: (device.actor, device.token))

    async def drop_device(self, token: bytes) -> None:
        self._reach()
        self._devices.pop(token, None)
