"""Code that an experiment names. What a user types or passes is trusted; what a file from elsewhere says is not."""

from collections.abc import Collection

from hvdcells.errors import UserError
from hvdcells.experiment.backbones import is_function
from hvdcells.experiment.description import Experiment


def code_named_by(experiment: Experiment) -> tuple[str, ...]:
    """Return the modules that are imported, and from which a function is called, to build an experiment's model."""
    backbone = experiment.model.backbone
    return (backbone.partition(":")[0],) if is_function(backbone) else ()


def check_trusted(experiment: Experiment, where: str, trusted: Collection[str]) -> None:
    """Refuse an experiment out of a file that names code which the user has not named too.

    Args:
        experiment: what the file says.
        where: the file.
        trusted: modules that the user trusts.

    Raises:
        UserError: it names a function of another module.
    """
    for module in code_named_by(experiment):
        if module not in trusted:
            raise UserError(
                f"{where} names the function {experiment.model.backbone}, which would be called to build its model",
                "code that you have named yourself: a run of somebody else may name any function of this machine",
                f"if you know that function, give --trust-code {module} (in Python: trust_code=[{module!r}])",
            )
