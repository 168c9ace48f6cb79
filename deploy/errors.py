"""What can go wrong while the product is set up or started, each with what to do about it."""

from pathlib import Path


class DeployError(Exception):
    """A set-up or start step failed.

    Says what failed, what to do, and where the log is.
    """

    def __init__(self, what: str, *, do: str, log: Path | None = None) -> None:
        self.what = what
        self.do = do
        self.log = log
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """The sentences that an operator reads, one a line."""
        lines = [f"failed: {self.what}"]
        if self.log is not None:
            lines.append(f"   log: {self.log}")
        return [*lines, f"    do: {self.do}"]


class PortBusyError(DeployError):
    """Another process listens where one of ours should; names the setting that moves ours."""

    def __init__(self, address: str, port: int, program: str, setting: str) -> None:
        super().__init__(
            f"{address}:{port} is in use by another process, and {program} needs it",
            do=f"stop that process, or choose another port with {setting}=<port> and start again",
        )


class NotReadyError(DeployError):
    """A program did not become ready in time."""
