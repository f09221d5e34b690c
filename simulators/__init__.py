"""One world for planners, load and tests: callers, crews, operators, faults. The service never imports it."""
