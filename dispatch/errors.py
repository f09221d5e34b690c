"""The two faults that have a known reader: the user, and a service that is away. Everything else is our bug.

Expected refusals ("unit taken") are values of the core, not exceptions; they are not here.
"""


class UserMistake(Exception):
    """The person at the keyboard can put it right: one clear line, exit status 2, never a traceback."""


class ServiceAway(Exception):
    """A server we need (Postgres, Redis, the broker) does not answer; the catcher retries within a limit."""


class Elsewhere(ServiceAway):
    """Nobody writes this region in this process now: another does, or will within seconds."""

    def __init__(self, region: str) -> None:
        super().__init__(f"no writer of {region} is ready in this process")
        self.region = region
