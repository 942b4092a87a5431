"""`hvdcells replay`: a run trained again, and compared."""

from typing import Annotated

import typer

from launch.terminal.arguments import Conf, Master, TrustCode, parse_conf


def replay(
    run: Annotated[str, typer.Argument(help="A finished run directory.")],
    out: Annotated[str, typer.Argument(help="Where the new run directory is made: a new folder or s3://….")],
    dataset: Annotated[
        str | None, typer.Option(help="Where the run's dataset lies now, if not where it lay.", show_default=False)
    ] = None,
    master: Master = None,
    conf: Conf = None,
    trust_code: TrustCode = None,
) -> None:
    """Train a finished run again from its own directory, and say whether it comes to the same weights bit by bit.

    Experiment, dataset and number of workers are the run's. Where the weights differ, the first epoch whose figures
    differ is told, and what the machines and the software do not have in common; the exit code is then 1.
    """
    from hvdcells.driver.replay import replay as train_again
    from launch.terminal.console import Console

    console = Console(highlight=False, soft_wrap=True)
    result = train_again(run, out, dataset=dataset, master=master, conf=parse_conf(conf), trust_code=trust_code or ())
    for line in result.environment:
        console.print(f"Not as then: {line}", markup=False)
    if result.is_same:
        console.print("The weights are the same, bit by bit.")
        return
    where = result.first_difference or "in no figure of any epoch, only in the last weights"
    console.print(f"The weights differ. The runs part in {where}", markup=False)
    raise typer.Exit(1)
