"""`hvdcells cross-validate`: mean and spread over the folds of a dataset."""

from typing import Annotated

import typer

from launch.terminal.arguments import Conf, Master, Recipe, Settings, Track, Workers, chosen_experiment, parse_conf


def cross_validate(
    dataset: Annotated[str, typer.Argument(help="Dataset written by `hvdcells etl --split k-fold`.")],
    runs: Annotated[str, typer.Argument(help="Folder for the runs and cross-validation.json; a new folder or s3://….")],
    workers: Workers = 2,
    recipe: Recipe = "small_cnn",
    settings: Settings = None,
    master: Master = None,
    conf: Conf = None,
    track: Track = None,
) -> None:
    """Train once for each fold, on the other folds, and validate on it: mean, deviation and interval over the folds.

    A fold holds whole leakage groups, so no subject is on both sides. Every image is validated exactly once; these
    out-of-fold predictions are scored together too. The same command goes on where it was interrupted.
    """
    import hvdcells
    from hvdcells.data.dataset import Dataset
    from launch.terminal.console import Console
    from launch.terminal.runs_tables import print_cross_validation

    console = Console(highlight=False, soft_wrap=True)
    result = hvdcells.cross_validate(
        dataset,
        runs,
        chosen_experiment(recipe, settings),
        workers=workers,
        master=master,
        conf=parse_conf(conf),
        track=track,
        say=console.rule,
    )
    print_cross_validation(result, Dataset.open(dataset).manifest, console)
