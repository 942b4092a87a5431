"""What a command says beside its results."""

from hvdcells.secrets import without_secrets


def print_error(text: str) -> None:
    """Print to standard error, without secrets: it ends up in the logs of whoever started the command."""
    from launch.terminal.console import Console

    console = Console(stderr=True, soft_wrap=True)
    console.print(without_secrets(text), style="red", markup=False, highlight=False)
