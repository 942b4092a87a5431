"""Writing a report: facts → sections → page."""

import os
import warnings
from typing import TYPE_CHECKING, Any

from hvdcells import storage
from hvdcells.data.manifest import SYNTHETIC_NOTICE
from hvdcells.experiment import flattened
from hvdcells.runs.directory import RunDirectory

if TYPE_CHECKING:
    from hvdcells.report.facts import RunFacts


@storage.user_errors()
def write_report(run: RunDirectory | str | os.PathLike[str]) -> str:
    """Write the report of a run, or renew it: one HTML file that needs nothing beside it.

    Args:
        run: a run directory; one that has not finished is reported as far as it got.

    Returns:
        The location of the report.

    Raises:
        UserError: no run is there.
    """
    # Here and not above: `import hvdcells` is to load neither matplotlib nor scikit-learn.
    from hvdcells.report.facts import gather

    facts = gather(run if isinstance(run, RunDirectory) else RunDirectory.at(run))
    storage.write_text(facts.directory.report, render(facts))
    return facts.directory.report


def renew_report(run: RunDirectory) -> None:
    """Write the report after other work whose result stands without it: a failure is a warning."""
    try:
        write_report(run)
    except Exception as error:
        warnings.warn(
            f"the report could not be written ({type(error).__name__}: {error}); everything else of the run is whole: "
            f"`hvdcells report {run.location}` tells more",
            stacklevel=2,
        )


def render(facts: "RunFacts") -> str:
    """Return the page of `RunFacts` as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from hvdcells.report.sections import split_section, training_pictures
    from hvdcells.scores.classification import score_label
    from hvdcells.scores.plots import styled
    from hvdcells.scores.scorer import CLASS_SCORE_NAMES

    environment = Environment(
        loader=PackageLoader("hvdcells.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"score": _score, "interval": _interval, "flat": flattened, "plain": _plain}
    synthetic = facts.run["dataset"]["synthetic"] or any(split.evaluation.synthetic for split in facts.splits)
    with styled():
        sections, training = [split_section(split) for split in facts.splits], training_pictures(facts)
    return environment.get_template("page.html.j2").render(
        facts=facts,
        name=facts.directory.location.rstrip("/").rpartition("/")[2],
        monitor=score_label(facts.experiment["training"]["monitor"], len(facts.run["dataset"]["class_names"])),
        notice=SYNTHETIC_NOTICE if synthetic else None,
        sections=sections,
        class_scores=["AUROC" if name == "auroc" else name.replace("_", " ") for name in CLASS_SCORE_NAMES],
        training=training,
        missing=list(dict.fromkeys(facts.missing)),
    )


def _score(value: float | None, digits: int = 3) -> str:
    return "not defined" if value is None else f"{value:.{digits}f}"


def _interval(value: tuple[float, float] | None, digits: int = 3) -> str:
    return "–" if value is None else f"{value[0]:.{digits}f}–{value[1]:.{digits}f}"


def _plain(value: Any) -> str:
    """Print a setting: a number as it is, nothing as "–"."""
    if value is None:
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return f"{value:.6g}" if isinstance(value, float) else str(value)
