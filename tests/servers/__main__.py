"""Keeps a test stack running until Ctrl-C: `python -m tests.servers DIR [PROGRAMS]`, for NEURONOVA_STACK."""

import dataclasses
import signal
import sys
from pathlib import Path

from deploy.__main__ import free_ports
from deploy.settings import Settings
from tests.servers.stack import SMALL, Stack

if __name__ == "__main__":
    var = Path(sys.argv[1]).absolute()
    names = sys.argv[2].split(",") if len(sys.argv) > 2 else []
    stack = Stack(free_ports(dataclasses.replace(Settings(), var=var, **SMALL)), is_ours=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        stack.need(*names)
        print(f"{var} at {stack.base_url}", flush=True)  # noqa: T201 - said to the person who waits for it
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        stack.close()
