"""``coti stack``: register and check the ZenML stacks of ``configs/stacks``."""

from __future__ import annotations

import os
from dataclasses import asdict

import click

from coti.commands.json_output import json_option, print_json
from ops.quiet import quiet_terminal

__all__ = ["stack", "unset_empty_store_variables"]


@click.group()
def stack() -> None:
    """Register and check ZenML stacks.

    \b
    Examples:
      coti stack up local
      coti stack check
    """
    unset_empty_store_variables()


def unset_empty_store_variables() -> None:
    """``ZENML_STORE_URL=""`` is how CI passes what it has not: no address, not an empty one."""
    for name in [key for key in os.environ if key.startswith("ZENML_STORE_")]:
        if not os.environ[name].strip():
            del os.environ[name]


@stack.command()
@click.argument("name", default="local")
def up(name: str) -> None:
    """Register the stack of configs/stacks/NAME.yaml and make it active; harmless to repeat.

    NAME is local by default. Secrets are read from the environment and kept in ZenML's secret
    store.

    \b
    Example:
      coti stack up s3
    """
    from ops.stack.register_stack import register_stack

    click.echo(f"Stack {register_stack(name)} is active.")


@stack.command()
@click.option("--gpu/--no-gpu", default=None, help="Whether a GPU must be found in the cluster.")
@json_option
def check(gpu: bool | None, as_json: bool) -> None:
    """Say of each component of the active stack whether it works, and what to do if it doesn't.

    Exit code 1 if one does not.

    \b
    Example:
      coti stack check --no-gpu
    """
    quiet_terminal()
    from ops.stack.check_stack import check_stack

    findings = list(check_stack(gpu))
    quiet_terminal(again=True)
    if as_json:
        print_json([asdict(each) for each in findings])
    for each in () if as_json else findings:
        click.echo(f"{each.state:<5} {each.what}: {each.said}")
    if any(each.state == "FAIL" for each in findings):
        raise click.exceptions.Exit(1)
