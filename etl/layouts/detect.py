"""Finding out which layout a source has, or holding it to the one that was named."""

from etl.inventory import Inventory
from etl.layouts import Layout, cnmc
from etl.options import EtlOptions
from etl.sources import list_files
from hvdcells import storage
from hvdcells.errors import UserError


def understand(source: str, options: EtlOptions) -> Layout:
    """List a source and decide its layout.

    Raises:
        UserError: the source is missing, empty, holds no image, or is not of the layout that was asked for.
    """
    if not storage.exists(source):
        raise UserError(
            f"the source {source} does not exist",
            "a folder of images, or a table (CSV or Parquet) that names them; on disk, s3:// or any fsspec address",
            "correct the path; `hvdcells synthesize OUT` makes demonstration cells to try",
        )
    inventory = Inventory.take(list_files(source))
    if inventory.num_images == 0:
        found = (
            f"{inventory.num_other_files + len(inventory.tables)} other files"
            if inventory.num_other_files
            else "nothing"
        )
        raise UserError(
            f"the source {source} holds no cell image ({found} found)",
            "images such as .bmp, .png, .jpg or .tif in the folder or below it",
            "name the folder that holds the images",
        )
    return cnmc.layout(source, inventory)
