"""The request `RunJobFlow`: a cluster, what it installs and what it does."""

from collections.abc import Sequence
from typing import Any

from launch.aws.estimate import Machines
from launch.emr.classifications import classifications
from launch.emr.fleets import NODE_LABELS, instance_fleets, machines_of_fleets
from launch.emr.options import ROOT_GIB, EmrCluster, EmrLaunch
from launch.emr.steps import steps

BOOTSTRAP = "bootstrap_emr.sh"
SUMS = "SHA256SUMS"
NOTEBOOKS = ("Livy", "JupyterEnterpriseGateway")
"""What EMR Studio's notebooks reach a cluster through; on those that are kept."""
OWN_TAGS = {"project": "hvdcells", "for-use-with-amazon-emr-managed-policies": "true"}
"""The second one is what AWS's policy AmazonEMRServicePolicy_v2 lets EMR's role act on."""


def bootstrap_location(launch: EmrLaunch) -> str:
    """Return where the launch puts the bootstrap script."""
    return f"{launch.environment.rstrip('/')}/{BOOTSTRAP}"


def run_job_flow(launch: EmrLaunch, sums_digest: str) -> dict[str, Any]:
    """Return the request, a pure function of what is launched.

    Args:
        launch: what is launched.
        sums_digest: SHA-256 of the wheelhouse's list of checksums, which the bootstrap holds the nodes to.
    """
    arguments = [launch.environment.rstrip("/"), sums_digest, *["--gpu"] * bool(launch.cluster.num_gpus)]
    return cluster_request(
        launch,
        name="hvdcells",
        machines=_machines(launch),
        bootstrap=[_action("hvdcells environment", bootstrap_location(launch), arguments)],
        planned=steps(launch, "CANCEL_AND_WAIT" if launch.keep else "TERMINATE_CLUSTER"),
        configurations=classifications(launch.cluster, NODE_LABELS if launch.or_instances else {}),
    )


def cluster_request(
    launch: EmrCluster,
    name: str,
    machines: dict[str, list[dict[str, Any]]],
    bootstrap: Sequence[dict[str, Any]],
    planned: Sequence[dict[str, Any]],
    configurations: Sequence[dict[str, Any]],
) -> dict[str, Any]:
    """Return a request for a cluster that ends by itself: after its last step or when one fails; kept, when idle."""
    instances: dict[str, Any] = {
        **machines,
        "KeepJobFlowAliveWhenNoSteps": launch.keep,
        "TerminationProtected": False,
    }
    if launch.subnet:
        instances |= (
            {"Ec2SubnetIds": [launch.subnet]} if "InstanceFleets" in machines else {"Ec2SubnetId": launch.subnet}
        )
    if launch.key_name:
        instances["Ec2KeyName"] = launch.key_name
    request: dict[str, Any] = {
        "Name": name,
        "ReleaseLabel": launch.release,
        "Applications": [{"Name": name} for name in ("Hadoop", "Spark", *NOTEBOOKS * launch.keep)],
        "LogUri": f"{launch.logs.rstrip('/')}/",
        "Instances": instances,
        "EbsRootVolumeSize": ROOT_GIB,
        "BootstrapActions": list(bootstrap),
        "Steps": list(planned),
        "Configurations": list(configurations),
        "ServiceRole": launch.service_role,
        "JobFlowRole": launch.instance_profile,
        "Tags": [{"Key": key, "Value": value} for key, value in {**OWN_TAGS, **launch.tags}.items()],
    }
    if launch.keep:
        request["AutoTerminationPolicy"] = {"IdleTimeout": 60 * launch.idle_minutes}
    if launch.security_configuration:
        request["SecurityConfiguration"] = launch.security_configuration
    return request


def _machines(launch: EmrLaunch) -> dict[str, list[dict[str, Any]]]:
    if launch.or_instances:
        return {"InstanceFleets": instance_fleets(launch, num_workers(launch))}
    return {"InstanceGroups": instance_groups(launch)}


def instance_groups(launch: EmrLaunch) -> list[dict[str, Any]]:
    """Return one primary machine on demand, and the workers' machines at the price that is asked for."""
    cluster = launch.cluster
    market = "SPOT" if cluster.price_model == "spot" else "ON_DEMAND"
    return [
        instance_group("primary", "MASTER", cluster.primary_instance, 1, "ON_DEMAND", launch.ebs_gib),
        instance_group("workers", "CORE", cluster.worker_instance, num_workers(launch), market, launch.ebs_gib),
    ]


def num_workers(launch: EmrLaunch) -> int:
    """Return how many machines for workers are asked for.

    On a cluster with notebooks EMR keeps one of them for the notebooks' service and computes nothing on it.
    """
    return launch.cluster.num_machines + launch.keep


def machines(launch: EmrLaunch) -> list[Machines]:
    """Return what the request costs by the hour."""
    if launch.or_instances:
        return machines_of_fleets(launch, num_workers(launch))
    cluster = launch.cluster
    spot, disks_gib = cluster.price_model == "spot", launch.ebs_gib + ROOT_GIB
    return [
        Machines("primary", cluster.primary_instance, 1, "emr", ebs_gib=disks_gib),
        Machines("workers", cluster.worker_instance, num_workers(launch), "emr", spot, disks_gib),
    ]


def instance_group(name: str, role: str, instance: str, count: int, market: str, ebs_gib: int) -> dict[str, Any]:
    """Return machines of one kind, each with a disk."""
    volume = {"VolumeSpecification": {"VolumeType": "gp3", "SizeInGB": ebs_gib}, "VolumesPerInstance": 1}
    return {
        "Name": name,
        "InstanceRole": role,
        "InstanceType": instance,
        "InstanceCount": count,
        "Market": market,
        "EbsConfiguration": {"EbsBlockDeviceConfigs": [volume]},
    }


def _action(name: str, script: str, arguments: Sequence[str]) -> dict[str, Any]:
    return {"Name": name, "ScriptBootstrapAction": {"Path": script, "Args": list(arguments)}}
