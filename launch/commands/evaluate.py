"""`hvdcells evaluate`: scores of a run's best model."""

import json
from typing import Annotated

import typer

from launch.terminal.arguments import Conf, Master, TrustCode, parse_conf


def evaluate(
    run: Annotated[str, typer.Argument(help="A finished run directory.")],
    dataset: Annotated[
        str | None,
        typer.Option(help="Where the dataset is now, or another than the run was trained on.", show_default=False),
    ] = None,
    split: Annotated[str, typer.Option(help="train, validation or test.")] = "test",
    workers: Annotated[int, typer.Option(min=1, help="1 predicts in this process, more on Spark.")] = 1,
    other_dataset: Annotated[
        bool,
        typer.Option("--other-dataset", help="Evaluate although another dataset now lies where the run was trained."),
    ] = False,
    positive: Annotated[
        str | None,
        typer.Option(
            metavar="CLASS,CLASS,…",
            help="Classes that count as ill, for sensitivity and specificity; without, those of the dataset.",
            show_default=False,
        ),
    ] = None,
    tta: Annotated[
        int, typer.Option(metavar="8", help="8 averages over the flips and turns of each image.", show_default=False)
    ] = 1,
    explain: Annotated[
        bool, typer.Option("--explain/--no-explain", help="Heat maps of some images for the report.")
    ] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
    master: Master = None,
    conf: Conf = None,
    trust_code: TrustCode = None,
) -> None:
    """Evaluate a run on subjects its model has not seen: F1, AUROC, each class, sensitivity and specificity.

    The scores are given by image and by subject, with intervals, and are kept in RUN/evaluation/SPLIT.json beside the
    prediction of every image in RUN/predictions/SPLIT.parquet. A dataset that has changed since the training is
    refused. Of another dataset it is said how many images and subjects were trained on; its scores are kept beside the
    run's own, under its digest.
    """
    import hvdcells
    from hvdcells import RunDirectory, storage
    from hvdcells.driver.decide import judge
    from launch.terminal.console import Console
    from launch.terminal.decision_tables import print_judgement
    from launch.terminal.evaluation_tables import print_evaluation

    evaluation = hvdcells.evaluate(
        run,
        dataset,
        split,
        other_dataset=other_dataset,
        positive=None if positive is None else [name.strip() for name in positive.split(",")],
        tta=tta,
        explain=explain,
        workers=workers,
        master=master,
        conf=parse_conf(conf),
        trust_code=trust_code or (),
    )
    if as_json:
        typer.echo(json.dumps(evaluation.to_dict(), indent=1))
        return
    console = Console(highlight=False)
    print_evaluation(evaluation, console)
    if storage.exists(RunDirectory.at(run).decision):
        print_judgement(evaluation.name, *judge(run, evaluation.name), console)
    console.print(f"As JSON: {RunDirectory.at(run).evaluation(evaluation.name)}", soft_wrap=True)
    console.print(f"Report: {RunDirectory.at(run).report}", soft_wrap=True)
