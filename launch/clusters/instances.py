"""The machines a cluster can be made of, and what an hour of each costs."""

from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
)

from hvdcells import storage
from hvdcells.errors import UserError, fields_refused

BUILT_IN = Path(__file__).parent.parent / "assets" / "instances.json"

Service = Literal["ec2", "emr", "sagemaker"]


class InstanceType(BaseModel):
    """One kind of machine; prices are US dollars per hour on demand, None where it is not offered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    vcpus: PositiveInt
    memory_gib: PositiveFloat
    num_gpus: NonNegativeInt = 0
    gpu: str | None = None
    gpu_memory_gib: NonNegativeFloat = 0
    network_gbits: PositiveFloat
    ec2_usd: NonNegativeFloat | None = None
    emr_usd: NonNegativeFloat | None = None
    sagemaker_usd: NonNegativeFloat | None = None


class Catalogue(BaseModel):
    """A dated table of machines and prices."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    as_of: str
    region: str
    note: str = ""
    spot_fraction: PositiveFloat = 1
    """What a spot machine costs, as a share of the price on demand."""
    ebs_gib_month_usd: NonNegativeFloat = 0
    instances: dict[str, InstanceType]

    def named(self, name: str) -> InstanceType:
        """Return one machine; SageMaker's `ml.` in front of its name makes no difference.

        Raises:
            UserError: it is not in the table.
        """
        try:
            return self.instances[name.removeprefix("ml.")]
        except KeyError:
            raise UserError(
                f"the instance type {name!r}",
                f"one of {', '.join(self.instances)}",
                "correct the name, or give a table of your own that has it (--prices FILE)",
            ) from None

    def usd_per_hour(self, name: str, service: Service, spot: bool = False) -> float | None:
        """Return the price of one machine for an hour under a service; None where the table has none.

        EMR's surcharge is the same on spot machines.
        """
        instance = self.named(name)
        if service == "sagemaker":
            price = instance.sagemaker_usd
            return None if price is None else price * (self.spot_fraction if spot else 1)
        if instance.ec2_usd is None:
            return None
        machine = instance.ec2_usd * (self.spot_fraction if spot else 1)
        return machine + (instance.emr_usd or 0) if service == "emr" else machine


def catalogue(location: str | None = None) -> Catalogue:
    """Read the table of machines and prices: the user's, or the one that comes with the project.

    Raises:
        UserError: no such file, or it is not such a table.
    """
    if location is None:
        return _built_in()
    remedy = f"copy {BUILT_IN} and change what differs"
    try:
        text = storage.read_text(location)
    except OSError as error:
        raise UserError(f"the price table {location}: {error}", f"JSON such as {BUILT_IN}", remedy) from error
    with fields_refused(f"the price table {location}: ", remedy):
        return Catalogue.model_validate_json(text)


@cache
def _built_in() -> Catalogue:
    return Catalogue.model_validate_json(BUILT_IN.read_text())
