"""`hvdcells launch environment`: the running environment as an archive for executors."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Console


def environment(
    archive: Annotated[str, typer.Argument(help="Where it goes; ends in .tar.gz or .tgz; a file or s3://….")],
    also: Annotated[
        list[str] | None,
        typer.Option(
            help="A module or package of yours, such as one with a model; may be repeated.", show_default=False
        ),
    ] = None,
) -> None:
    """Pack this Python with all that training needs (2.4 GB unpacked), so that nodes need none of it installed.

    An archive that is up to date is left alone. Nodes bring the same architecture and as new a C library as here.
    """
    from rich.console import Console

    bring_up_to_date(archive, Console(highlight=False, soft_wrap=True), also or ())


def bring_up_to_date(archive: str, console: "Console", also: tuple[str, ...] | list[str] = ()) -> None:
    """Write the archive unless it holds what it would hold."""
    from rich.progress import Progress

    from launch.clusters.environment import environment_files, fingerprint, fingerprint_of, write_archive

    files = environment_files(also)
    if fingerprint_of(archive) == fingerprint(files):
        console.print(f"The environment in {archive} is up to date", markup=False)
        return
    with Progress(console=console) as progress:
        task = progress.add_task("Packing the environment", total=sum(path.stat().st_size for path in files.values()))
        write_archive(files, archive, lambda num_bytes: progress.advance(task, num_bytes))
    console.print(f"The environment is in {archive}", markup=False)
