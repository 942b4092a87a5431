"""What a user asks of EMR."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from hvdcells.errors import UserError, raise_together
from launch.aws.buckets import bucket_and_key
from launch.clusters.spec import ClusterSpec
from launch.stages import Pipeline

RELEASE = "emr-7.11.0"
"""Amazon Linux 2023 and Spark 3.5."""
ROOT_GIB = 60
"""The system's disk: the environment with CUDA's libraries takes several GiB, packed and unpacked at once."""
OLD_NETWORK = ("p2.", "p3.", "g3.", "g3s.", "m4.", "c4.", "r4.")
"""Machines before Nitro, which name their network interface otherwise than the others."""


@dataclass(frozen=True)
class EmrLaunch:
    """All that a launch on EMR is made of.

    Args:
        pipeline: the stages' source, dataset, run and experiment; all in S3.
        cluster: machines and executors.
        environment: `s3://` address of the wheelhouse that nodes install from.
        logs: `s3://` address below which EMR writes logs.
        region: where the machines run.
        release: EMR's release label.
        bench: numbers of workers to train with for a few epochs each, instead of the stages after the ETL.
        keep: the cluster stays after its steps, for more of them, until it has been idle for `idle_minutes`.
        idle_minutes: EMR ends a cluster that has had nothing to do for so long.
        ebs_gib: disk of each machine for data, beside that of its system (`ROOT_GIB`).
        subnet: id of a subnet; None for that of the default network.
        service_role: name of the role that EMR acts in.
        instance_profile: name of the profile whose rights the machines have.
        key_name: EC2 key pair for logins; None for none.
        security_configuration: name of an EMR security configuration (encryption of disks and transfer).
        kms_key: KMS key that what the launch itself uploads is encrypted with; None for S3's own keys.
        tags: of the cluster and its machines.
    """

    pipeline: Pipeline
    cluster: ClusterSpec
    environment: str
    logs: str
    region: str
    release: str = RELEASE
    bench: tuple[int, ...] = ()
    keep: bool = False
    idle_minutes: int = 30
    ebs_gib: int = 100
    subnet: str | None = None
    service_role: str = "EMR_DefaultRole"
    instance_profile: str = "EMR_EC2_DefaultRole"
    key_name: str | None = None
    security_configuration: str | None = None
    kms_key: str | None = None
    tags: dict[str, str] = field(default_factory=dict)

    def check(self) -> None:
        """Refuse what EMR would take hours to fail with.

        Raises:
            UserError: all that is wrong, together.
        """
        problems = list(self._wrong_addresses())
        workers, primary = self.cluster.worker_instance, self.cluster.primary_instance
        if workers.startswith(OLD_NETWORK) != primary.startswith(OLD_NETWORK):
            problems.append(
                UserError(
                    f"{workers} machines beside a {primary}: one names its network interface eth0, the other ens5",
                    "one name on all machines: Horovod talks over interfaces that all have",
                    "use g4dn, g5 or p4d machines with an m5 or newer, or set --primary to a machine of the same age",
                )
            )
        most = self.cluster.num_executors
        if any(count < 1 or count > most for count in self.bench):
            problems.append(
                UserError(
                    f"--bench {','.join(map(str, self.bench))} on a cluster of {most} executors",
                    f"numbers from 1 to {most}",
                    "ask for more machines, or fewer workers",
                )
            )
        if not 1 <= self.idle_minutes <= 10080:
            problems.append(
                UserError(f"--idle-minutes {self.idle_minutes}", "1 to 10080, a week", "correct --idle-minutes")
            )
        raise_together(problems)

    def check_addresses(self) -> None:
        """Refuse places that are not plain addresses in S3.

        Raises:
            UserError: all of them, together; what is secret in them is left out.
        """
        raise_together(self._wrong_addresses())

    def _wrong_addresses(self) -> Iterator[UserError]:
        places = {
            "--source": self.pipeline.source,
            "--dataset": self.pipeline.dataset,
            "--run": self.pipeline.run,
            "--environment": self.environment,
            "--logs": self.logs,
        }
        for option, place in places.items():
            try:
                bucket_and_key(place)
            except UserError as error:
                yield UserError(f"{option}: {error.given}", error.expected, error.remedy)
