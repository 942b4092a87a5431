"""`hvdcells sweep`: many experiments, one table."""

from typing import Annotated

import typer

from hvdcells.driver.search import Method
from launch.terminal.arguments import Conf, Master, Recipe, Settings, Track, Workers, chosen_experiment, parse_conf


def sweep(
    dataset: Annotated[str, typer.Argument(help="Dataset written by `hvdcells etl`: a folder or s3://….")],
    runs: Annotated[str, typer.Argument(help="Folder for the runs and sweep.json; a new folder or s3://….")],
    vary: Annotated[
        list[str],
        typer.Option(
            "--vary",
            metavar="FIELD=VALUES",
            help="A field and what to try: VALUE,VALUE,… or, with --random, a range LOW..HIGH (uniform; whole numbers "
            "where both ends are) or LOW..HIGH:log. May be repeated; all combinations are tried.",
        ),
    ],
    num_random: Annotated[
        int | None, typer.Option("--random", min=1, help="Draw this many trials instead.", show_default=False)
    ] = None,
    search: Annotated[
        Method | None,
        typer.Option(
            help="How Optuna finds the next trial (needs the extra `search`): bayes learns from earlier trials; asha "
            "draws at random and ends early what lags behind. Left out: all combinations, or --random N.",
            show_default=False,
        ),
    ] = None,
    num_trials: Annotated[
        int | None, typer.Option("--trials", min=1, help="How many trials --search makes.", show_default=False)
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    workers: Workers = 2,
    recipe: Recipe = "small_cnn",
    settings: Settings = None,
    master: Master = None,
    conf: Conf = None,
    track: Track = None,
) -> None:
    """Train a recipe with some fields varied, one trial after another, and compare them by the validation score.

    hvdcells sweep DATASET RUNS --vary optimizer.learning_rate=0.004,0.016 --vary model.dropout=0,0.2

    The trials share one Spark session. One that fails is noted and the others go on; the same command goes on where it
    was interrupted.
    """
    import hvdcells
    from hvdcells.data.dataset import Dataset
    from hvdcells.experiment.search_space import parse_space
    from launch.terminal.console import Console
    from launch.terminal.runs_tables import print_sweep

    console = Console(highlight=False, soft_wrap=True)
    result = hvdcells.sweep(
        dataset,
        runs,
        chosen_experiment(recipe, settings),
        parse_space(vary),
        num_random=num_random,
        search=search,
        num_trials=num_trials,
        seed=seed,
        workers=workers,
        master=master,
        conf=parse_conf(conf),
        track=track,
        say=console.rule,
    )
    print_sweep(result, Dataset.open(dataset).manifest, console)
