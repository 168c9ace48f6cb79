"""The operators' command `neuronova`: logins, apps, jobs, trail, studies, patients."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from neuronova import audit, clients, jobs, keys, patient, study, sync, users
from neuronova.installation import Installation

app = typer.Typer(
    help="Operate a NeuroNova installation. / NeuroNova 설치를 운영합니다.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold secrets
    add_completion=False,
)
app.add_typer(users.app, name="users")
app.add_typer(clients.app, name="clients")
app.add_typer(keys.app, name="keys")
app.add_typer(jobs.app, name="jobs")
app.add_typer(audit.app, name="audit")
app.add_typer(sync.app, name="sync")
app.add_typer(study.app, name="study")
app.add_typer(patient.app, name="patient")


@app.callback()
def main(
    context: typer.Context,
    var: Annotated[
        Path, typer.Option(help="Folder of the installation. / 설치 폴더", envvar="DEPLOY_VAR")
    ] = Path("var"),
) -> None:
    """Choose the installation."""
    context.obj = Installation(var.absolute())
