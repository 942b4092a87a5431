"""`hvdcells launch sagemaker`: the stages as jobs of Amazon SageMaker."""

import json
from dataclasses import asdict
from typing import Annotated

import typer

from launch.sagemaker.deployment import Deployment
from launch.sagemaker.options import AskedSageMaker, Tuning
from launch.stages import AskedPipeline
from launch.terminal.model_options import takes_models


@takes_models
def sagemaker(
    pipeline: AskedPipeline,
    asked: AskedSageMaker,
    tuning: Tuning,
    deployment: Deployment,
    hours: Annotated[float, typer.Option(help="Of one training, for the estimate of cost alone.")] = 1.0,
    etl_hours: Annotated[float, typer.Option(help="Of the ETL, for the estimate of cost alone.")] = 0.5,
    prices: Annotated[
        str | None, typer.Option(help="A table of machines and prices of your own.", show_default=False)
    ] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the last job has ended.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the requests and what they cost; ask nothing of AWS.")
    ] = False,
) -> None:
    """Images → dataset → trained model, or tuned ones, as jobs of Amazon SageMaker; or, with --deploy, a model served.

    Each job ends its machines by itself. With several stages this command waits for each before the next. The same
    command goes on with a run that was interrupted. See docs/launch-sagemaker.md.
    """
    from launch.aws.clients import client
    from launch.aws.estimate import estimate
    from launch.clusters.instances import catalogue
    from launch.sagemaker import requests, submission
    from launch.sagemaker.kinds import KINDS, new_name
    from launch.terminal.aws_work import follow_job, how_to_stop_job
    from launch.terminal.console import Console
    from launch.terminal.estimate_table import print_estimate

    if deployment.deploy is not None:
        _deploy(asked, deployment, prices, dry_run)
        return
    launch = asked.launch(pipeline, tuning)
    planned = submission.planned_requests(launch, {stage: new_name(stage) for stage in launch.stages})
    costs = estimate(requests.machines(launch, hours, etl_hours), hours, catalogue(prices))
    if dry_run:
        typer.echo(json.dumps({"requests": planned, "estimate": costs.to_dict()}, indent=1))
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    print_estimate(costs, console)
    service, s3 = client("sagemaker", launch.region), client("s3", launch.region)
    submission.check_places(launch, s3)
    if "etl" in planned and len(planned) > 1 and submission.has_dataset(launch, s3):
        console.print(f"etl: {launch.pipeline.dataset} is there already; --stages etl brings it up to date")
        del planned["etl"]
    last = list(planned)[-1]
    for stage in planned:
        name = planned[stage][KINDS[stage].name_key]
        how_to_stop = how_to_stop_job(name, launch.region)
        try:
            submission.start_job(stage, planned[stage], service)
        except KeyboardInterrupt:
            console.print(f"{stage}: the job {name} may have started.\n{how_to_stop}")
            raise typer.Exit(130) from None
        typer.echo(name)
        console.print(f"{stage}: the job starts; it ends its machines by itself.\n{how_to_stop}")
        if stage != last or wait:
            follow_job(name, launch.region)


def _deploy(asked: AskedSageMaker, deployment: Deployment, prices: str | None, dry_run: bool) -> None:
    """Serve a model instead of training one."""
    from launch.aws.clients import client
    from launch.clusters.instances import catalogue
    from launch.sagemaker.deployment import deploy, new_name, planned, serving_cost
    from launch.terminal.console import Console

    name, table = deployment.name or new_name(deployment), catalogue(prices)
    costs = serving_cost(deployment, table)
    gpu = deployment.deploy != "serverless" and table.named(deployment.serving_instance).num_gpus > 0
    requests = planned(asked, deployment, name, gpu)
    if dry_run:
        shown = {each.operation: each.request for each in requests}
        typer.echo(json.dumps({"requests": shown, "cost": asdict(costs)}, indent=1))
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"Cost: {costs}")
    deploy(requests, client("sagemaker", asked.region))
    typer.echo(name)
    if deployment.deploy == "batch":
        console.print(f"The transform ends its machines by itself; answers go to {asked.output}.", markup=False)
    else:
        console.print(f"The endpoint starts. Remove it with: hvdcells sagemaker undeploy {name}", markup=False)
