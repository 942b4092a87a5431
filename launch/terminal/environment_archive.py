"""The environment's archive, written with a progress bar."""

from collections.abc import Sequence

from launch.terminal.console import Console


def bring_up_to_date(archive: str, console: Console, also: Sequence[str] = ()) -> None:
    """Write the archive unless it holds what it would hold.

    Args:
        archive: where it goes.
        console: told what was done.
        also: modules or packages of the user's.
    """
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
