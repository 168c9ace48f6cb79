"""Starts one supervised program: `launch.py NAME VAR -- COMMAND...`; becomes the command.

Three things that supervisord cannot do:
- the program's variables come from a private file, so that no secret stands in a command line or in
  supervisord's configuration;
- what an earlier run of the same program left behind is ended first (after kill -9 of nginx its workers keep
  the port);
- the program ends when supervisord does, however that ends (prctl(2), PR_SET_PDEATHSIG).

Runs under `python -I -S`: standard library only.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path

PR_SET_PDEATHSIG = 1
Group = tuple[str, str, str, str]


def main(name: str, var: Path, command: list[str]) -> None:
    """Prepare and become the command."""
    parent = os.getppid()
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    if os.getppid() != parent:
        sys.exit("supervisord ended while this program was starting")
    record = var / "run" / "groups" / name
    end_leftovers(record)
    record.parent.mkdir(parents=True, exist_ok=True)
    record.write_text(" ".join(group_of(os.getpid())))
    environment = os.environ | read_variables(var / "etc" / "env" / f"{name}.env")
    os.execvpe(command[0], command, environment)  # noqa: S606 - that is this module's purpose


def read_variables(path: Path) -> dict[str, str]:
    """Lines of KEY='value', the form that a shell reads as well."""
    pairs = (line.split("=", 1) for line in path.read_text().splitlines() if line)
    return {key: value.removeprefix("'").removesuffix("'") for key, value in pairs}


def group_of(pid: int) -> Group:
    """What identifies a process group on this machine: boot, session, group and user."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return boot, fields[3], fields[2], str(Path(f"/proc/{pid}").stat().st_uid)


def end_leftovers(record: Path) -> None:
    """Kill what is left of the group that the record names, and nothing else.

    A number that the system has given to another group since does not match: session and boot differ.
    """
    try:
        old = tuple(record.read_text().split())
    except FileNotFoundError:
        return
    if old == group_of(os.getpid()):
        return
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if group_of(int(entry.name)) == old:
                os.kill(int(entry.name), signal.SIGKILL)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # It ended meanwhile, or is not ours.


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[4:])
