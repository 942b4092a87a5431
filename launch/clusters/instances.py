"""The machines a cluster can be made of, and what an hour of each costs."""

from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

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

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    vcpus: PositiveInt
    memory_gib: PositiveFloat
    num_gpus: NonNegativeInt = 0
    gpu: str | None = None
    gpu_memory_gib: NonNegativeFloat = 0
    network_gbits: PositiveFloat
    ec2_usd: NonNegativeFloat | None = None
    emr_usd: NonNegativeFloat | None = None
    sagemaker_usd: NonNegativeFloat | None = None
    sources: dict[str, str] = {}
    """Where each price, and `sizes`, was found: keys of the table's `sources`."""


class HourlyPrice(NamedTuple):
    """What one machine costs for an hour, in US dollars."""

    least: float
    most: float
    """More than `least` on spot machines alone."""
    missing: tuple[str, ...]
    """The parts of the price that the table lacks, which are in neither."""


class Catalogue(BaseModel):
    """A dated table of machines and prices."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    as_of: str
    region: str
    note: str = ""
    sources: dict[str, str] = {}
    """Where prices and sizes were found, with dates."""
    spot_fractions: tuple[PositiveFloat, PositiveFloat] = (1, 1)
    """The least and the most that a spot machine costs, as shares of the price on demand: it moves every hour."""
    spot_source: str | None = None
    ebs_gib_month_usd: NonNegativeFloat = 0
    ebs_source: str | None = None
    serverless_gib_second_usd: NonNegativeFloat = 0
    """Of a serverless endpoint of SageMaker, while it answers."""
    serverless_source: str | None = None
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
        """Return the most that one machine costs for an hour; None where the table lacks a part of the price."""
        found = self.known_usd_per_hour(name, service, spot)
        return None if found.missing else found.most

    def known_usd_per_hour(self, name: str, service: Service, spot: bool = False) -> HourlyPrice:
        """Return what the table knows of the price of one machine for an hour under a service.

        EMR's surcharge is the same on spot machines.
        """
        instance = self.named(name)
        machine = instance.sagemaker_usd if service == "sagemaker" else instance.ec2_usd
        least, most = self.spot_fractions if spot else (1.0, 1.0)
        extra = instance.emr_usd if service == "emr" else 0.0
        under = {"ec2": "EC2's price", "emr": "EC2's price", "sagemaker": "SageMaker's price"}[service]
        parts = ((machine, under), (extra, "EMR's surcharge"))
        return HourlyPrice(
            least=(machine or 0.0) * least + (extra or 0.0),
            most=(machine or 0.0) * most + (extra or 0.0),
            missing=tuple(f"{part} of {name}" for price, part in parts if price is None),
        )


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
