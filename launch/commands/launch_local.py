"""`hvdcells launch local`: all stages on this machine."""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import typer

from launch.stages import SPLIT, Pipeline, StageName
from launch.terminal.arguments import Workers
from launch.terminal.model_options import takes_models

if TYPE_CHECKING:
    from hvdcells.scores.evaluation import Evaluation


@takes_models
def local(pipeline: Pipeline, workers: Workers = 2) -> None:
    """Images → dataset → trained model → scores → report, on this machine. What is done already is not done again.

    The same command goes on after an interruption. Options of the ETL stage are given to `hvdcells etl`, before this.
    """
    import hvdcells
    from etl.options import EtlOptions
    from hvdcells.experiment.trust import code_named_by
    from launch.terminal.console import Console
    from launch.terminal.etl_stage import make_dataset
    from launch.terminal.evaluation_tables import print_evaluation
    from launch.terminal.runs_tables import print_training

    console = Console(highlight=False, soft_wrap=True)
    experiment = hvdcells.recipes.by_name(pipeline.recipe).override(pipeline.settings)

    def train() -> None:
        run = hvdcells.train(pipeline.dataset, pipeline.run, experiment, workers=workers, resume=True)
        print_training(run, console)

    def evaluate() -> "Evaluation":  # in this process, which is the quickest
        return hvdcells.evaluate(pipeline.run, split=SPLIT, trust_code=code_named_by(experiment))

    stages: dict[StageName, Callable[[], object]] = {
        "etl": lambda: make_dataset(pipeline.source, pipeline.dataset, EtlOptions(), console, workers=workers),
        "train": train,
        "evaluate": lambda: print_evaluation(evaluate(), console),
        "report": lambda: console.print(f"Report: {hvdcells.write_report(pipeline.run)}", markup=False),
    }
    for stage, work in stages.items():
        if pipeline.is_done(stage):
            console.print(f"{stage}: done already", style="bold")
            continue
        began = time.monotonic()
        try:
            work()
        except KeyboardInterrupt:
            console.print(f"{stage}: stopped; the same command goes on from here", style="red")
            raise typer.Exit(130) from None
        console.print(f"{stage}: done in {time.monotonic() - began:.0f} s", style="bold")
