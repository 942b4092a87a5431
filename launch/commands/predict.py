"""`hvdcells predict`: images without labels → probabilities."""

from typing import Annotated

import typer

from launch.terminal.arguments import Conf, Master, TrustCode, parse_conf


def predict(
    run: Annotated[str, typer.Argument(help="A finished run directory.")],
    source: Annotated[
        str,
        typer.Argument(help="Folder of images, C-NMC's or any other, or a table with a column path; labelled or not."),
    ],
    out: Annotated[str, typer.Argument(help="Where predictions go: a new or empty folder.")],
    csv: Annotated[bool, typer.Option("--csv", help="Write OUT/predictions.csv too.")] = False,
    challenge: Annotated[
        bool, typer.Option("--challenge", help="Write C-NMC's submission too: OUT/isbi_valid.zip.")
    ] = False,
    tta: Annotated[
        int, typer.Option(metavar="8", help="8 averages over the flips and turns of each image.", show_default=False)
    ] = 1,
    explain: Annotated[
        int,
        typer.Option(min=0, max=1000, help="Write heat maps of so many images, the least sure ones: OUT/explanations."),
    ] = 0,
    subject_pattern: Annotated[
        str | None,
        typer.Option(
            help="Regular expression that finds the subject in a path (its first group), where nothing else tells it.",
            show_default=False,
        ),
    ] = None,
    spark: Annotated[
        bool | None,
        typer.Option(
            "--spark/--no-spark",
            help="Predict on Spark, or in this process. Left out: on Spark with --master, unless the images are few.",
            show_default=False,
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Delete an earlier prediction at that place.")] = False,
    master: Master = None,
    conf: Conf = None,
    trust_code: TrustCode = None,
) -> None:
    """Predict every image of a source once, prepared exactly as those that the run was trained on.

    OUT/predictions.parquet has probabilities, the run's decision and whether a person should look; OUT/subjects.parquet
    holds the decision by subject, OUT/rejects what could not be read. A prediction that was interrupted is completed by
    the same command; a finished one is left alone.
    """
    import hvdcells
    from hvdcells.data.manifest import SYNTHETIC_NOTICE
    from launch.terminal.console import Console
    from launch.terminal.progress_bars import ProgressBars

    console = Console(soft_wrap=True, highlight=False)
    with ProgressBars(console) as listener:
        found = hvdcells.predict(
            run,
            source,
            out,
            subject_pattern=subject_pattern,
            tta=tta,
            explain=explain,
            csv=csv,
            challenge=challenge,
            master=master,
            use_spark=spark,
            conf=parse_conf(conf),
            overwrite=overwrite,
            listener=listener,
            trust_code=trust_code or (),
        )
    calls = ", ".join(f"{num} {name}" for name, num in found["called"].items())
    num_rejected = sum(found["rejected"].values())
    console.print(
        f"{found['listed']} images: {found['predicted']} predicted ({calls}), {num_rejected} rejected; "
        f"a person should look at {found['refer']}.",
        markup=False,
    )
    unlike, num_predicted = found.get("out_of_range"), max(1, found["predicted"])
    if unlike is None:
        console.print("How like the run's own images they are is not known: an earlier version made the run.")
    else:
        # Of images like those validated on, 1 % lie beyond each of the two limits.
        style = "bold yellow" if unlike > 0.05 * num_predicted else None
        console.print(
            f"{unlike} images ({unlike / num_predicted:.1%}) are unlike those that the run was validated on.",
            style=style,
        )
    for reason, num in found["rejected"].items():
        console.print(f"  {num} × {reason}", style="yellow", markup=False)
    console.print(f"Predictions: {out.rstrip('/')}/predictions.parquet", markup=False)
    if found["synthetic"]:
        console.print(SYNTHETIC_NOTICE, style="bold yellow")
