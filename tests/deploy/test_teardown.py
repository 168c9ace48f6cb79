"""However a test session ends, none of its servers outlives it."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.settings import ROOT
from tests.servers.stack import processes_of, wait_for

pytestmark = pytest.mark.server


@pytest.fixture
def session(var: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process that keeps a stack of two small programs."""
    command = [sys.executable, "-m", "tests.servers", str(var / "s"), "redis,nginx"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert str(var) in process.stdout.readline()
        yield process
        process.kill()


def test_an_interrupted_session_leaves_nothing(session: "subprocess.Popen[str]", var: Path) -> None:
    session.send_signal(signal.SIGINT)
    assert session.wait(60) == 0
    assert not processes_of(var)
    assert not (var / "s").exists()


def test_a_second_interrupt_does_not_stop_the_clearing_up(
    session: "subprocess.Popen[str]", var: Path
) -> None:
    session.send_signal(signal.SIGINT)
    wait_for(lambda: session.poll() is not None or _ignores_interrupts(session.pid), "clearing up to begin")
    session.send_signal(signal.SIGINT)
    assert session.wait(60) == 0
    assert not processes_of(var)


def _ignores_interrupts(pid: int) -> bool:
    (line,) = [x for x in Path(f"/proc/{pid}/status").read_text().splitlines() if x.startswith("SigIgn:")]
    return bool(int(line.split()[1], 16) & (1 << (signal.SIGINT - 1)))


def test_a_terminated_session_leaves_nothing(session: "subprocess.Popen[str]", var: Path) -> None:
    session.terminate()
    assert session.wait(60) == 0
    assert not processes_of(var)


def test_a_killed_session_takes_its_servers_with_it(session: "subprocess.Popen[str]", var: Path) -> None:
    assert processes_of(var).keys() > {session.pid}
    session.kill()
    session.wait(60)
    wait_for(lambda: not processes_of(var), "the servers to end")


def test_killed_supervision_takes_its_programs_with_it(session: "subprocess.Popen[str]", var: Path) -> None:
    (supervisord,) = [pid for pid, command in processes_of(var).items() if "bin/supervisord" in command]
    subprocess.run(["kill", "-9", str(supervisord)], check=True)
    wait_for(lambda: processes_of(var).keys() <= {session.pid}, "the programs to end")
