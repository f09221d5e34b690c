"""How many files and connections this process may have open: as many as the system gives unasked."""

import logging

log = logging.getLogger(__name__)

SPARE = 512
"""For the database, the broker, the bus, logs and files."""


def allow_connections(count: int) -> int:
    """See to it that so many connections fit; returns how many do. Only the soft limit is touched.

    Many systems begin with 1024, which a city's consoles and callers use up; then nobody is let in any more.
    """
    try:
        import resource
    except ImportError:
        return count
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = count + SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
        soft = raised
    if soft != resource.RLIM_INFINITY and soft < wanted:
        log.warning("only %d connections fit, %d were planned: raise `ulimit -n`", soft - SPARE, count)
        return max(0, soft - SPARE)
    return count
