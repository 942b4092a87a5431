"""Finding out which layout a source has, or holding it to the one that was named."""

from collections import Counter
from dataclasses import replace

from etl.options import EtlOptions
from etl.source.files import Inventory
from etl.source.layouts import Layout, cnmc, folders, table
from hvdcells import storage
from hvdcells.errors import UserError, raise_together
from hvdcells.images.decode import read_image
from hvdcells.images.files import TABLE_SUFFIXES, list_files
from hvdcells.images.tables import is_table_in_parts


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
    if storage.is_file(source) or is_table_in_parts(source):
        return _of_table(source, options)
    inventory = take_inventory(source, options)
    listed_in = [storage.join(source, name) for name in _tables_at_the_top(source, inventory)]
    tables = [name for name in listed_in if table.is_table(name, options)]
    if options.layout == "table" or (options.layout == "auto" and tables and not cnmc.recognises(inventory)):
        refuse_inapplicable("table", options)
        only = _only_table(source, tables, listed_in)
        found = table.layout(only, source, options)
        name = only.rsplit("/", 1)[-1]
        used = [path for path in inventory.tables if path == name or path.startswith(f"{name}/")]
        rest = inventory.everything_else("table of images", used)
        return replace(found, other_files={**rest, **inventory.left_aside}, num_images_there=inventory.num_images)
    inventory.leave_companions_aside(lambda path: read_image(path, source))
    if inventory.num_images == 0:
        others = inventory.other_files.total() + len(inventory.tables) + inventory.left_aside.total()
        raise UserError(
            f"the source {source} holds no cell image ({f'{others} other files' if others else 'it is empty'})",
            "images such as .bmp, .png, .jpg or .tif in the folder or below it",
            "name the folder that holds the images",
        )
    if cnmc.recognises(inventory) and options.layout != "folders":
        refuse_inapplicable("cnmc", options)
        return cnmc.layout(source, inventory, options)
    if options.layout == "cnmc":
        raise UserError(
            f"none of the {inventory.num_images} images in {source} is named as in C-NMC 2019",
            "files named UID_<subject>_<image>_<cell>_{all,hem}, or the folder of the preliminary test with its CSV",
            "name the root of the data set, or use --layout folders or --layout table",
        )
    refuse_inapplicable("folders", options)
    return folders.layout(source, inventory, options)


def _tables_at_the_top(source: str, inventory: Inventory) -> list[str]:
    """Return the tables that lie directly in a source: files, and folders that Spark has written."""
    folders = {path.split("/")[0] for path in inventory.tables if path.count("/") == 1}
    in_parts = [name for name in sorted(folders) if is_table_in_parts(storage.join(source, name))]
    return [path for path in inventory.tables if "/" not in path] + in_parts


_APPLIES_TO = {
    "subject_pattern": ("folders",),
    "class_level": ("folders",),
    "include": ("folders", "cnmc"),
    "exclude": ("folders", "cnmc"),
    "path_column": ("table", "folders"),
    "subject_column": ("table", "folders"),
    "label_column": ("table",),
    "delimiter": ("table", "folders"),
    "table_encoding": ("table", "folders"),
}
"""Layouts that an option is for, of those that are not for all."""


def refuse_inapplicable(layout: str, options: EtlOptions) -> None:
    """Refuse options that the layout would swallow.

    Raises:
        UserError: there are some; all of them are told.
    """
    defaults = EtlOptions()
    raise_together(
        UserError(
            f"--{name.replace('_', '-')}, but the source has the layout {layout}",
            f"it with the layout {' or '.join(layouts)}",
            f"leave it out, or say --layout {layouts[0]} if the source is that",
        )
        for name, layouts in _APPLIES_TO.items()
        if layout not in layouts and getattr(options, name) != getattr(defaults, name)
    )


def take_inventory(source: str, options: EtlOptions) -> Inventory:
    """Look at every file of a source: what it is, and what is left aside."""
    passed_over: Counter[str] = Counter()
    inventory = Inventory(
        list_files(source, lambda reason: passed_over.update((reason,))), options.include, options.exclude
    )
    inventory.other_files.update(passed_over)
    return inventory


def _of_table(source: str, options: EtlOptions) -> Layout:
    is_table = source.lower().endswith(TABLE_SUFFIXES) or not storage.is_file(source)
    if not is_table or options.layout not in ("auto", "table"):
        raise UserError(
            f"the source {source} is a file" + ("" if options.layout == "auto" else f", and --layout {options.layout}"),
            "a folder of images, or a table: CSV or Parquet with the columns path and label",
            "name the folder that holds the images",
        )
    refuse_inapplicable("table", options)
    return table.layout(source, source.rsplit("/", 1)[0], options)


def _only_table(source: str, tables: list[str], all_tables: list[str]) -> str:
    if not tables and len(all_tables) == 1:
        return all_tables[0]
    if len(tables) != 1:
        raise UserError(
            f"{len(tables)} tables with the columns path and label are in {source}",
            "one",
            "name the table itself as the source",
        )
    return tables[0]
