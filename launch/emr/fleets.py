"""Instance fleets: spot machines of several types, beside those that have to stay.

The primary machine, which holds each step's driver, and one worker's machine are on demand; YARN's node labels keep the
application's master on the latter (EMR labels its core machines CORE). All other workers are spot machines, of the
types that EMR finds cheapest among those with capacity to spare.
"""

from collections.abc import Sequence
from typing import Any

from launch.aws.estimate import Machines
from launch.emr.options import ROOT_GIB, EmrLaunch

SPOT_MINUTES = 30
"""How long to wait for spot machines before the cluster ends."""
NODE_LABELS = {
    # https://repost.aws/knowledge-center/emr-configure-node-labeling-yarn: off by default since EMR 6.
    "yarn.node-labels.enabled": "true",
    "yarn.node-labels.am.default-node-label-expression": "CORE",
}


def instance_fleets(launch: EmrLaunch, num_workers: int) -> list[dict[str, Any]]:
    """Return the fleets of a launch with several types of workers' machines.

    Args:
        launch: what is launched.
        num_workers: machines for workers, of which the first is on demand.
    """
    cluster, worker = launch.cluster, launch.cluster.worker_instance
    spot = {
        "AllocationStrategy": "price-capacity-optimized",
        "TimeoutDurationMinutes": SPOT_MINUTES,
        "TimeoutAction": "TERMINATE_CLUSTER",
    }
    return [
        _fleet("primary", "MASTER", [cluster.primary_instance], launch.ebs_gib, on_demand=1),
        _fleet("worker on demand", "CORE", [worker], launch.ebs_gib, on_demand=1),
        _fleet("workers", "TASK", [worker, *launch.or_instances], launch.ebs_gib, spot=num_workers - 1)
        | {"LaunchSpecifications": {"SpotSpecification": spot}},
    ]


def machines_of_fleets(launch: EmrLaunch, num_workers: int) -> list[Machines]:
    """Return what the fleets cost by the hour; of several types it is a range."""
    cluster, disks_gib = launch.cluster, launch.ebs_gib + ROOT_GIB
    worker, others = cluster.worker_instance, launch.or_instances
    return [
        Machines("primary", cluster.primary_instance, 1, "emr", ebs_gib=disks_gib),
        Machines("worker on demand", worker, 1, "emr", ebs_gib=disks_gib),
        Machines("workers", worker, num_workers - 1, "emr", True, disks_gib, alternatives=others),
    ]


def _fleet(
    name: str, kind: str, types: Sequence[str], ebs_gib: int, on_demand: int = 0, spot: int = 0
) -> dict[str, Any]:
    volume = {"VolumeSpecification": {"VolumeType": "gp3", "SizeInGB": ebs_gib}, "VolumesPerInstance": 1}
    disks = {"EbsBlockDeviceConfigs": [volume]}
    return {
        "Name": name,
        "InstanceFleetType": kind,
        "TargetOnDemandCapacity": on_demand,
        "TargetSpotCapacity": spot,
        "InstanceTypeConfigs": [
            {"InstanceType": each, "WeightedCapacity": 1, "EbsConfiguration": disks} for each in types
        ],
    }
