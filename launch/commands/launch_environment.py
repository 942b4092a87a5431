"""`hvdcells launch environment`: the running environment as an archive for executors."""

from typing import Annotated

import typer


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
    from launch.terminal.console import Console
    from launch.terminal.environment_archive import bring_up_to_date

    bring_up_to_date(archive, Console(highlight=False, soft_wrap=True), also or ())
