"""Finding out which layout a source has, or holding it to the one that was named."""

from etl.options import EtlOptions
from etl.source.files import Inventory
from etl.source.layouts import Layout, cnmc, folders, table
from hvdcells import storage
from hvdcells.errors import UserError
from hvdcells.images.files import TABLE_SUFFIXES, list_files


def understand(source: str, options: EtlOptions) -> Layout:
    """List a source and decide its layout.

    Raises:
        UserError: the source is missing, empty, holds no image, or is not of the layout that was asked for.
    """
    folders.check_pattern(options.subject_pattern)
    if not storage.exists(source):
        raise UserError(
            f"the source {source} does not exist",
            "a folder of images, or a table (CSV or Parquet) that names them; on disk, s3:// or any fsspec address",
            "correct the path; `hvdcells synthesize OUT` makes demonstration cells to try",
        )
    if storage.is_file(source):
        return _of_file(source, options)
    inventory = Inventory(list_files(source))
    listed_in = [storage.join(source, name) for name in inventory.tables if "/" not in name]
    tables = [name for name in listed_in if table.is_table(name)]
    if options.layout == "table" or (options.layout == "auto" and tables and not cnmc.recognises(inventory)):
        return table.layout(_only_table(source, tables), source, options)
    if inventory.num_images == 0:
        others = inventory.num_other_files + len(inventory.tables)
        raise UserError(
            f"the source {source} holds no cell image ({f'{others} other files' if others else 'it is empty'})",
            "images such as .bmp, .png, .jpg or .tif in the folder or below it",
            "name the folder that holds the images",
        )
    if cnmc.recognises(inventory) and options.layout != "folders":
        return cnmc.layout(source, inventory, options)
    if options.layout == "cnmc":
        raise UserError(
            f"none of the {inventory.num_images} images in {source} is named as in C-NMC 2019",
            "files named UID_<subject>_<image>_<cell>_{all,hem}, or the folder of the preliminary test with its CSV",
            "name the root of the data set, or use --layout folders or --layout table",
        )
    return folders.layout(source, inventory, options)


def _of_file(source: str, options: EtlOptions) -> Layout:
    if not source.lower().endswith(TABLE_SUFFIXES) or options.layout not in ("auto", "table"):
        raise UserError(
            f"the source {source} is a file" + ("" if options.layout == "auto" else f", and --layout {options.layout}"),
            "a folder of images, or a table: CSV or Parquet with the columns path and label",
            "name the folder that holds the images",
        )
    return table.layout(source, source.rsplit("/", 1)[0], options)


def _only_table(source: str, tables: list[str]) -> str:
    if len(tables) != 1:
        raise UserError(
            f"{len(tables)} tables with the columns path and label are in {source}",
            "one",
            "name the table itself as the source",
        )
    return tables[0]
