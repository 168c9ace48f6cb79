import os
import subprocess
import sys
from collections.abc import Callable

import pytest
import redis

from subscriptions.lease import Holder, Leases

pytestmark = pytest.mark.server


def _dead_process() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_a_lease_keeps_others_out_while_its_worker_lives(leases: Leases) -> None:
    me = Holder.of(os.getpid(), "a1")
    assert leases.acquire("job", me)
    assert not leases.acquire("job", Holder.of(os.getppid(), "a2"))
    assert leases.acquire("job", me), "taking one's own lease again is no conflict"


def test_the_lease_of_a_dead_process_is_taken_over_at_once(leases: Leases) -> None:
    present = Holder.of(os.getpid(), "a1")
    dead = Holder(present.machine, _dead_process(), 12345, "a1")
    assert leases.acquire("job", dead)
    assert not leases.is_live("job")
    assert leases.acquire("job", Holder.of(os.getpid(), "a2"))


def test_a_reused_process_id_does_not_keep_a_lease_alive(leases: Leases) -> None:
    present = Holder.of(os.getpid(), "a1")
    assert leases.acquire("job", Holder(present.machine, present.pid, present.started - 1, "a1"))
    assert not leases.is_live("job")


def test_on_another_machine_only_the_time_out_ends_a_lease(
    leases: Leases, connection: redis.Redis, eventually: Callable[..., object]
) -> None:
    leases.acquire("job", Holder("other-machine", 1, 1, "a1"))
    assert leases.is_live("job")
    assert not leases.acquire("job", Holder.of(os.getpid(), "a2"))
    connection.pexpire("nn:lease:job", 30)
    eventually(lambda: not leases.is_live("job"))


def test_only_the_holder_renews_and_releases(leases: Leases, connection: redis.Redis) -> None:
    me, other = Holder.of(os.getpid(), "a1"), Holder.of(os.getppid(), "a2")
    leases.acquire("job", me)
    connection.pexpire("nn:lease:job", 100)
    assert not leases.renew("job", other)
    assert leases.renew("job", me)
    assert int(str(connection.pttl("nn:lease:job"))) > 1000
    leases.release("job", other)
    assert leases.is_live("job")
    leases.release("job", me)
    assert not leases.is_live("job")


_PARENT = """
import os, sys, time
from subscriptions.lease import die_with_parent
me = os.getpid()
child = os.fork()
if child == 0:
    die_with_parent(me)
    print(os.getpid(), flush=True)
    time.sleep(60)
os.waitpid(child, 0)
"""


def test_a_child_dies_with_its_parent(eventually: Callable[..., object]) -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    eventually(lambda: _gone(child))


def _gone(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True
