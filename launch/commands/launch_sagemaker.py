"""`hvdcells launch sagemaker`: the stages as jobs of Amazon SageMaker."""

import json
import shlex
from typing import Annotated, Any, Literal

import typer

from launch.terminal.arguments import Recipe, Settings, parse_pairs

EXPECTED = {"image": "an image in ECR", "role": "the ARN of a role"}


def _option(help: str, *names: str, **more: Any) -> Any:
    """An option that need not be given."""
    return typer.Option(*names, help=help, show_default=False, **more)


def sagemaker(
    source: Annotated[str | None, _option("Images: s3://.... For the stage etl.")] = None,
    dataset: Annotated[str | None, _option("Where the dataset goes, or is: s3://....")] = None,
    run: Annotated[str | None, _option("Where the run goes, or is; a tuning's runs go below it: s3://....")] = None,
    image: Annotated[str | None, _option("Image in ECR; `hvdcells sagemaker image` says how to make it.")] = None,
    role: Annotated[str | None, _option("ARN of the role whose rights the jobs have.")] = None,
    output: Annotated[str | None, _option("Where SageMaker puts models: s3://.... Left out: beside the run.")] = None,
    stages: Annotated[str, typer.Option(help="Of etl, train and tune: one job each, in this order.")] = "etl,train",
    instance: Annotated[str, typer.Option(help="Machines of trainings; ranks are as many as their GPUs.")] = (
        "ml.g4dn.xlarge"
    ),
    machines: Annotated[int, typer.Option(min=1, help="Machines of a training.")] = 1,
    etl_instance: Annotated[str, typer.Option(help="Machines of the ETL.")] = "ml.m5.2xlarge",
    etl_machines: Annotated[int, typer.Option(min=1, help="Machines of the ETL.")] = 1,
    etl_arguments: Annotated[
        str | None, _option("More words for `hvdcells etl`, in quotes.", metavar="'--image-size 96 ...'")
    ] = None,
    vary: Annotated[
        list[str] | None,
        _option("What a tuning varies, as in `hvdcells sweep`; may be repeated.", "--vary", metavar="FIELD=VALUES"),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings of a tuning.")] = 12,
    parallel: Annotated[int, typer.Option(min=1, help="Of them at once.")] = 2,
    strategy: Annotated[Literal["Bayesian", "Random", "Grid"], typer.Option(help="Of a tuning.")] = "Bayesian",
    spot: Annotated[bool, typer.Option("--spot", help="Train on spot machines; interrupted jobs go on.")] = False,
    recipe: Recipe = "mobilenet_v2",
    settings: Settings = None,
    region: Annotated[str | None, _option("Left out: that of the environment or the AWS profile.")] = None,
    max_hours: Annotated[float, typer.Option(help="SageMaker stops a job after so long.")] = 12.0,
    max_wait_hours: Annotated[float | None, _option("With --spot, with all waiting. Left out: twice that.")] = None,
    volume_gib: Annotated[int, typer.Option(min=10, help="Disk of each machine.")] = 100,
    input_mode: Annotated[
        Literal["File", "FastFile"], typer.Option(help="Copy the dataset to each machine first, or read as it goes.")
    ] = "File",
    subnet: Annotated[list[str] | None, _option("For machines in a network of yours; may be repeated.")] = None,
    security_group: Annotated[list[str] | None, _option("With --subnet; may be repeated.")] = None,
    encrypt_traffic: Annotated[
        bool, typer.Option("--encrypt-traffic", help="Between the machines of a job; slower.")
    ] = False,
    kms_key: Annotated[str | None, _option("KMS key for all that is written; else S3's own keys.")] = None,
    tag: Annotated[list[str] | None, _option("May be repeated.", "--tag", metavar="KEY=VALUE")] = None,
    hours: Annotated[float, typer.Option(help="Of one training, for the estimate of cost alone.")] = 1.0,
    etl_hours: Annotated[float, typer.Option(help="Of the ETL, for the estimate of cost alone.")] = 0.5,
    prices: Annotated[str | None, _option("A table of machines and prices of your own.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Stay until the last job has ended.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the requests and what they cost; ask nothing of AWS.")
    ] = False,
) -> None:
    """Images → dataset → trained model, or tuned ones, as jobs of Amazon SageMaker.

    Each job ends its machines by itself. With several stages this command waits for each before the next. The same
    command goes on with a run that was interrupted. See docs/launch-sagemaker.md.
    """
    from rich.console import Console

    from launch.aws.clients import client
    from launch.aws.estimate import estimate
    from launch.clusters.instances import catalogue
    from launch.terminal.estimate_table import print_estimate
    from launch.commands.sagemaker import follow_to_the_end, how_to_stop
    from launch.sagemaker import requests, submission
    from launch.sagemaker.kinds import KINDS, new_name
    from launch.sagemaker.options import Tuning

    launch = _launch(
        {"source": source, "dataset": dataset, "run": run, "image": image, "role": role},
        stages,
        recipe,
        settings or [],
        region=region,
        output=output,
        instance=instance,
        machines=machines,
        etl_instance=etl_instance,
        etl_machines=etl_machines,
        etl_arguments=tuple(shlex.split(etl_arguments or "")),
        tuning=Tuning(tuple(vary or ()), jobs, parallel, strategy),
        spot=spot,
        max_hours=max_hours,
        max_wait_hours=max_wait_hours,
        volume_gib=volume_gib,
        input_mode=input_mode,
        subnets=tuple(subnet or ()),
        security_groups=tuple(security_group or ()),
        encrypt_traffic=encrypt_traffic,
        kms_key=kms_key,
        tags=parse_pairs("--tag", tag),
    )
    planned = submission.planned_requests(launch, {stage: new_name(stage) for stage in launch.stages})
    costs = estimate(requests.machines(launch, hours, etl_hours), hours, catalogue(prices))
    if dry_run:
        typer.echo(json.dumps({"requests": planned, "estimate": costs.to_dict()}, indent=1))
        return
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    print_estimate(costs, console)
    service, s3 = client("sagemaker", launch.region), client("s3", launch.region)
    starting.check_places(launch, s3)
    if "etl" in planned and len(planned) > 1 and starting.has_dataset(launch, s3):
        console.print(f"etl: {launch.pipeline.dataset} is there already; --stages etl brings it up to date")
        del planned["etl"]
    last = list(planned)[-1]
    for stage in planned:
        name = planned[stage][KINDS[stage].name_key]
        try:
            submission.start_job(stage, planned[stage], service)
        except KeyboardInterrupt:
            console.print(f"{stage}: the job {name} may have started.\n{how_to_stop(name, launch.region)}")
            raise typer.Exit(130) from None
        typer.echo(name)
        console.print(f"{stage}: the job starts; it ends its machines by itself.\n{how_to_stop(name, launch.region)}")
        if stage != last or wait:
            follow_to_the_end(name, launch.region)


def _launch(
    needed: dict[str, str | None],
    stages: str,
    recipe: str,
    settings: list[str],
    region: str | None,
    output: str | None,
    **options: Any,
) -> Any:
    from hvdcells import storage
    from hvdcells.errors import UserError, raise_together
    from launch.aws.clients import default_region
    from launch.terminal.arguments import parse_settings
    from launch.sagemaker.options import STAGES, SageMakerLaunch
    from launch.stages import Pipeline

    asked = [word.strip() for word in stages.split(",")]
    problems = [
        UserError(f"no --{name}", EXPECTED.get(name, "an s3:// address"), f"give --{name}")
        for name, value in needed.items()
        if not value and (name != "source" or "etl" in asked)
    ]
    if not set(asked) <= set(STAGES) or len(set(asked)) < len(asked):
        problems.append(UserError(f"--stages {stages}", f"some of {','.join(STAGES)}, each once", "correct --stages"))
    try:
        parse_settings(settings)
    except UserError as error:
        problems += getattr(error, "problems", (error,))
    raise_together(problems)
    place = needed["run"]
    return SageMakerLaunch(
        Pipeline(needed["source"] or needed["dataset"], needed["dataset"], place, recipe, settings),
        needed["image"],
        needed["role"],
        region or default_region(),
        output or storage.join(place.rstrip("/").rpartition("/")[0], "sagemaker"),
        stages=tuple(stage for stage in STAGES if stage in asked),
        **options,
    )
