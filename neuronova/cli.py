"""The operators' command `neuronova`: logins, apps, jobs, trail, studies, patients."""

from __future__ import annotations

import gc
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from neuronova.installation import Installation

_COMMANDS = ("users", "clients", "keys", "jobs", "audit", "sync", "study", "patient")


class Commands(TyperGroup):
    """The commands; each is a module of its own, imported when it is asked for (all of them take 1 s)."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Import one."""
        if cmd_name not in _COMMANDS:
            return None
        gc.disable()  # what is imported stays: to look through it for garbage is a third of the start
        command = get_command(import_module(f"neuronova.{cmd_name}").app)
        gc.freeze()
        gc.enable()
        command.name = cmd_name
        return command


app = typer.Typer(
    cls=Commands,
    help="Operate a NeuroNova installation. / NeuroNova 설치를 운영합니다.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,  # locals may hold secrets
    add_completion=False,
)


@app.callback()
def main(
    context: typer.Context,
    var: Annotated[
        Path, typer.Option(help="Folder of the installation. / 설치 폴더", envvar="DEPLOY_VAR")
    ] = Path("var"),
) -> None:
    """Choose the installation."""
    context.obj = Installation(var.absolute())
