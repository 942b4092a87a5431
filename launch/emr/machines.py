"""The machines that EMR offers under a release in a region, asked before anything is paid for."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from launch.aws.errors import aws_errors
from launch.clusters.instances import Catalogue, InstanceType


class Offered(NamedTuple):
    """What EMR offers, beside what the table of machines knows."""

    known: Mapping[str, InstanceType]
    """Machines of the table that EMR offers."""
    not_offered: tuple[str, ...]
    """Machines of the table that it does not."""
    num_others: int
    """Machines that EMR offers and the table lacks."""


def offered_machines(emr: Any, release: str, table: Catalogue) -> Offered:
    """Ask EMR which machines it offers under a release.

    Args:
        emr: a client of EMR, whose region it is.
        release: such as `emr-7.14.0`.
        table: the table of machines.

    Raises:
        UserError: no such release, or no right to ask.
    """
    types: set[str] = set()
    page: dict[str, str] = {"ReleaseLabel": release}
    with aws_errors(f"asking for the machines of {release}"):
        while True:  # botocore has no paginator of it
            answer = emr.list_supported_instance_types(**page)
            types |= {each["Type"] for each in answer.get("SupportedInstanceTypes", ())}
            if not answer.get("Marker"):
                break
            page["Marker"] = answer["Marker"]
    return Offered(
        {name: machine for name, machine in table.instances.items() if name in types},
        tuple(name for name in table.instances if name not in types),
        len(types - table.instances.keys()),
    )
