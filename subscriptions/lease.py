"""Who is running a job right now, so that nobody waits for the dead.

A lease is a key in Redis with a time-out, written when a job starts and renewed by the worker while its child
works. It names the worker's process: on the same machine a process that is gone ends its lease at once, on
another machine the time-out does. A lease saves work; correctness is in the writes themselves.

`die_with_parent` closes the other gap: the child of a killed worker must not go on unwatched
(prctl(2), PR_SET_PDEATHSIG).
"""

import ctypes
import json
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

import redis

_PREFIX = "nn:lease:"
_PR_SET_PDEATHSIG = 1

# Compare and act in one step: between a GET and a DEL another worker may have taken the lease.
_RENEW = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 0
"""
_RELEASE = """
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
"""


@dataclass(frozen=True)
class Holder:
    """The worker process behind a lease: machine (boot and pid namespace), pid, start time, and the run."""

    machine: str
    pid: int
    started: int
    job_id: str

    @classmethod
    def of(cls, pid: int, job_id: str) -> "Holder":
        """The holder for a process of this machine."""
        return cls(machine=_machine(), pid=pid, started=_started(pid) or 0, job_id=job_id)

    def is_gone(self) -> bool:
        """True when the process is known to be dead; False when it lives or cannot be seen from here."""
        return self.machine == _machine() and _started(self.pid) != self.started


class Leases:
    """The leases in one Redis.

    :param ttl_s: how long a lease lasts without renewal
    """

    def __init__(self, connection: redis.Redis, ttl_s: int) -> None:
        self._redis = connection
        self.ttl_s = ttl_s
        self._renew = connection.register_script(_RENEW)
        self._release = connection.register_script(_RELEASE)

    def acquire(self, key: str, holder: Holder) -> bool:
        """Take the lease unless a living worker has it."""
        text = _text(holder)
        if self._redis.set(_PREFIX + key, text, nx=True, px=self.ttl_s * 1000):
            return True
        present = self.holder(key)
        if present is not None and not present.is_gone():
            return present == holder
        if present is not None:
            self._release(keys=[_PREFIX + key], args=[_text(present)])
        return bool(self._redis.set(_PREFIX + key, text, nx=True, px=self.ttl_s * 1000))

    def renew(self, key: str, holder: Holder) -> bool:
        """Prolong the lease; False when it is no longer this holder's."""
        return bool(self._renew(keys=[_PREFIX + key], args=[_text(holder), self.ttl_s * 1000]))

    def release(self, key: str, holder: Holder) -> None:
        """Give the lease back if it is still this holder's."""
        self._release(keys=[_PREFIX + key], args=[_text(holder)])

    def holder(self, key: str) -> Holder | None:
        """Who has the lease now."""
        text = cast(bytes | None, self._redis.get(_PREFIX + key))
        return None if text is None else Holder(**json.loads(text))

    def is_live(self, key: str) -> bool:
        """Is a worker that may be alive running this job?"""
        holder = self.holder(key)
        return holder is not None and not holder.is_gone()


def die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends; end it now if the parent is gone already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent_pid:
        os._exit(1)


def _text(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), sort_keys=True).encode()


def _machine() -> str:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    return f"{boot}/{os.readlink('/proc/self/ns/pid')}"


def _started(pid: int) -> int | None:
    """Start time of a process in clock ticks after boot (proc(5), stat, field 22); None when it is not there.

    A zombie counts as gone: it will never renew anything.
    """
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()  # the command's name may contain spaces and brackets
    return None if fields[0] in "ZX" else int(fields[19])
