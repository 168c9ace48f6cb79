import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.launch import end_leftovers, group_of, read_variables
from deploy.settings import ROOT
from tests.servers.stack import wait_for

LAUNCH = [sys.executable, "-I", "-S", str(ROOT / "deploy" / "launch.py")]


@pytest.fixture
def sleeper() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(["sleep", "300"], process_group=0)
    yield process
    process.kill()
    process.wait()


def test_variables_come_from_the_private_file(var: Path) -> None:
    (var / "etc" / "env").mkdir(parents=True)
    (var / "etc" / "env" / "one.env").write_text("""LIST='["a"]'\nURL='http://x/?a=b'\n""")
    assert read_variables(var / "etc" / "env" / "one.env") == {"LIST": '["a"]', "URL": "http://x/?a=b"}
    done = subprocess.run([*LAUNCH, "one", var, "--", "env"], capture_output=True, text=True, check=True)
    assert """LIST=["a"]""" in done.stdout.splitlines()


def test_what_an_earlier_run_left_is_ended(var: Path, sleeper: "subprocess.Popen[bytes]") -> None:
    record = var / "one"
    record.write_text(" ".join(group_of(sleeper.pid)))
    end_leftovers(record)
    assert sleeper.wait(10) == -9


def test_a_group_of_another_boot_or_session_is_left_alone(
    var: Path, sleeper: "subprocess.Popen[bytes]"
) -> None:
    boot, session, group, user = group_of(sleeper.pid)
    record = var / "one"
    for other in (("another-boot", session, group, user), (boot, "1", group, user)):
        record.write_text(" ".join(other))
        end_leftovers(record)
    assert sleeper.poll() is None


def test_a_program_ends_with_the_process_that_started_it(var: Path) -> None:
    (var / "etc" / "env").mkdir(parents=True)
    (var / "etc" / "env" / "one.env").write_text("")
    script = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen(sys.argv[1:])\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(300)\n"
    )
    command = [sys.executable, "-c", script, *LAUNCH, "one", str(var), "--", "sleep", "300"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = Path(f"/proc/{int(parent.stdout.readline())}")
        wait_for(lambda: b"sleep" in (child / "cmdline").read_bytes()[:5], "the program to run")
        parent.kill()
        parent.wait()
        wait_for(lambda: not child.exists() or ") Z " in (child / "stat").read_text(), "the program to end")
