"""One world for planners, for load and for tests: callers, crews, operators, faults. The service never imports it."""
