"""Which installation a command works on: the folder with its rendered environment, and the record of what
is done.

The command is a process entry: it takes the variables of the program whose work it does from
`$VAR/etc/env/<program>.env`, exactly as supervision gives them, and reads settings from them.
"""

from __future__ import annotations

import os
import shlex
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from sqlalchemy.exc import SQLAlchemyError

from facade.audit.errors import AuditError
from facade.audit.event import Action, Who, audit_event
from facade.audit.spool import Spool
from facade.errors import FacadeError
from neuronova.errors import OperatorError
from smart_auth.errors import SMARTAuthError

JSON = Annotated[bool, typer.Option("--json", help="Print JSON. / JSON으로 출력")]

# The spool is the same for every program; these are the variables that name it.
_SPOOL = ("FACADE_SPOOL_DIR", "SUBSCRIPTIONS_SPOOL_DIR", "FACADE_AUDIT_SPOOL_DIR")


@dataclass(frozen=True)
class Installation:
    """The folder of one installation."""

    var: Path

    def use(self, program: str) -> None:
        """Take over the variables of a program."""
        path = self.var / "etc" / "env" / f"{program}.env"
        try:
            text = path.read_text()
        except FileNotFoundError as error:
            raise OperatorError(
                f"{self.var} holds no installation with the program {program}",
                do="run `make up`, or name the folder by --var",
            ) from error
        except PermissionError as error:
            raise OperatorError(
                f"{path} may not be read by this user", do="run this as the product's user"
            ) from error
        for word in shlex.split(text, comments=True):
            name, separator, value = word.partition("=")
            if separator and name.isidentifier():
                os.environ[name] = value

    def record(
        self,
        kind: str,
        action: Action,
        *,
        what: Sequence[str] = (),
        patient: str | None = None,
        **detail: str,
    ) -> None:
        """Make a durable record of what the operator does, before it is done. `use` comes first."""
        directory = next((os.environ[name] for name in _SPOOL if name in os.environ), None)
        if directory is None:
            raise OperatorError("it is not known where the audit spool is")
        spool = Spool(Path(directory), "operator")
        spool.write_sync(
            audit_event(
                interaction=kind,
                action=action,
                who=Who(None, "operator", "neuronova-cli"),
                what=what,
                patient=patient,
                request_id=uuid.uuid4().hex,
                detail={"operator": operator(), **detail},
            )
        )
        spool.close()


def operator() -> str:
    """The account of the machine that runs the command (`sudo` keeps the name of the person)."""
    return os.environ.get("SUDO_USER") or str(os.getuid())


def of(context: typer.Context) -> Installation:
    """The installation that --var names."""
    installation = context.find_object(Installation)
    if installation is None:
        raise OperatorError("no installation was named")
    return installation


@contextmanager
def reported(*more: type[Exception]) -> Iterator[None]:
    """Show an expected error as one line on stderr and end with 1."""
    expected: tuple[type[Exception], ...] = (
        OperatorError,
        SMARTAuthError,
        FacadeError,
        AuditError,
        SQLAlchemyError,
        OSError,
        *more,
    )
    try:
        yield
    except expected as error:
        said = str(error) or getattr(error, "sentence", "") or type(error).__name__
        if isinstance(error, SQLAlchemyError):
            # Its text holds statements and values.
            said = f"the database cannot be used ({type(error).__name__})"
        typer.secho(f"neuronova: {said}", err=True, fg="red")
        raise typer.Exit(1) from error


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], echo: Callable[[str], None] = typer.echo
) -> None:
    """Print columns."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    for row in (head, *rows):
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
