"""CPU is asked of everybody who works for a call: our processes, and the servers beside them with all their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dispatch.services import embedded
from dispatch.settings import Settings
from simulators.bench_cpu import Cpu, cpu_report, family_cpu_s, own_servers
from simulators.bench_traffic import Sent
from simulators.exposition import Reading, together

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="the kernel does not say it here")

BURNS_S = 0.3
BURN = f"import time\nwhile time.process_time() < {BURNS_S}: pass\n"
STAY = "import sys; print(flush=True); sys.stdin.read()"
PARENT = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}])
living = subprocess.Popen([sys.executable, "-c", {BURN + STAY!r}], stdout=subprocess.PIPE)
living.stdout.readline()
{STAY}
"""


def used(at_s: float, service_s: float, **servers_s: float) -> Cpu:
    measures = {("process_cpu_seconds_total", ""): service_s}
    return Cpu(service=Reading(at_s, measures), servers=servers_s, own_s=service_s / 10)


def kept_at(at_s: float) -> Sent:
    return Sent(0.0, at_s, "c-1", "UZ-TK", 1)


def test_a_call_costs_what_its_servers_used_as_well_and_only_while_it_was_served() -> None:
    calls = [kept_at(at_s) for at_s in (0.5, 1.5, 2.5, 3.5)]
    said = cpu_report(used(1.0, 5.0, postgres=2.0), used(3.0, 6.0, postgres=2.5), calls)
    assert said["service_cpu_us_per_call"] == 500_000.0
    assert said["postgres_cpu_us_per_call"] == 250_000.0
    assert said["broker_cpu_us_per_call"] is None
    assert (said["service_cpu_percent"], said["generator_cpu_percent"]) == (50.0, 5.0)


def test_processes_are_added_up_but_not_what_each_of_them_says_of_the_same_region() -> None:
    cpu, opened = ("process_cpu_seconds_total", ""), ("dispatch112_open", 'region="UZ-TK",what="calls"')
    assert together([{cpu: 1.5, opened: 7.0}, {cpu: 0.5, opened: 6.0}]) == {cpu: 2.0, opened: 7.0}


def test_a_servers_cpu_is_that_of_its_children_too_also_of_ended_ones() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None and parent.stdin is not None
        parent.stdout.readline()
        found = family_cpu_s(parent.pid)
        parent.stdin.close()
    assert found is not None and found >= 2 * BURNS_S - 0.05
    assert family_cpu_s(parent.pid) is None


async def test_the_servers_of_a_data_directory_are_found_and_those_by_url_are_not(tmp_path: Path) -> None:
    async with embedded(Settings(data_dir=tmp_path / "data")):
        found = own_servers(tmp_path / "data")
        assert found.keys() == {"postgres", "broker"} and os.getpid() not in found.values()
        assert all(family_cpu_s(pid) is not None for pid in found.values())
    assert all(family_cpu_s(pid) is None for pid in found.values())
    assert own_servers(tmp_path) == {}
