"""`hvdcells decide`: which probability a run calls ill, and when a person should look."""

import json
from typing import Annotated, Literal

import typer


def decide(
    run: Annotated[str, typer.Argument(help="A finished run directory.")],
    threshold: Annotated[
        Literal["0.5", "weighted-f1", "youden"] | None,
        typer.Option(help="Use 0.5, the best weighted F1, or the best sensitivity + specificity.", show_default="0.5"),
    ] = None,
    at_sensitivity: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Use the highest threshold of this sensitivity.", show_default=False),
    ] = None,
    at_specificity: Annotated[
        float | None,
        typer.Option(min=0, max=1, help="Use the lowest threshold of this specificity.", show_default=False),
    ] = None,
    refer: Annotated[
        float,
        typer.Option(min=0, max=1, help="Share of images, those nearest to the threshold, for a person to look at."),
    ] = 0.1,
    subject_rule: Annotated[
        Literal["mean", "median", "share", "top"] | None,
        typer.Option(help="From images to subject. Left out: what calls most subjects right.", show_default=False),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of tables.")] = False,
) -> None:
    """Choose a run's threshold on its validation images, and show what it comes to there and on the test set.

    The choice is kept in RUN/decision.json, where training has left one of its own: a temperature that calibrates
    probabilities, thresholds, a band in which a person should look, and a rule from images to subject.
    """
    from hvdcells import RunDirectory
    from hvdcells.driver.decide import decide as choose
    from hvdcells.driver.decide import judge
    from hvdcells.errors import UserError
    from launch.terminal.console import Console
    from launch.terminal.decision_tables import print_decision, print_judgement

    asked = [name for name in (threshold, at_sensitivity, at_specificity) if name is not None]
    if len(asked) > 1:
        raise UserError(
            "several of --threshold, --at-sensitivity and --at-specificity", "one of them", "leave the others out"
        )
    decision = choose(
        run,
        choose=threshold,
        at_sensitivity=at_sensitivity,
        at_specificity=at_specificity,
        refer_share=refer,
        subject_rule=subject_rule,
    )
    evaluated = RunDirectory.at(run).evaluations()
    judged = {name: judge(run, name)[0] for name in ("validation", "test") if name in evaluated}
    if as_json:
        typer.echo(json.dumps({"decision": decision.model_dump(), "judged": judged}, indent=1))
        return
    console = Console(highlight=False)
    print_decision(decision, console)
    for split, found in judged.items():
        print_judgement(split, found, decision.chosen, console)
    if "test" not in judged:
        console.print(f"Next: hvdcells evaluate {run}")
