"""`hvdcells export`: a run's model → one file that other runtimes take."""

from typing import Annotated, Literal

import typer

from launch.terminal.arguments import TrustCode


def export(
    run: Annotated[str, typer.Argument(help="A finished run directory.")],
    out: Annotated[str, typer.Argument(help="Where the export goes: a new or empty folder.")],
    to: Annotated[Literal["onnx", "tflite", "savedmodel", "keras"], typer.Option(help="The format.")] = "onnx",
    quantize: Annotated[
        Literal["int8"] | None,
        typer.Option(help="Compute with 8 bits (ONNX), calibrated on training images.", show_default=False),
    ] = None,
    tta: Annotated[
        int, typer.Option(help="8: average over the flips and turns of each image, inside the file.", metavar="1|8")
    ] = 1,
    dataset: Annotated[
        str | None, typer.Option(help="Where the run's dataset is now.", show_default="where it was")
    ] = None,
    trust_code: TrustCode = None,
) -> None:
    """Export a model: uint8 images in, calibrated probabilities out; with its description and a model card.

    The file is compared with the run's own model on validation images; one that differs is not written.
    """
    import hvdcells
    from hvdcells.data.manifest import SYNTHETIC_NOTICE
    from launch.terminal.console import Console
    from launch.terminal.progress_bars import ProgressBars

    console = Console(soft_wrap=True, highlight=False)
    with ProgressBars(console) as listener:
        described = hvdcells.export(
            run, out, to=to, quantize=quantize, tta=tta, dataset=dataset, trust_code=trust_code or (), listener=listener
        )
    folder = out.rstrip("/")
    console.print(f"Model: {folder}/{described.file}, with model.json and card.md", markup=False)
    if described.synthetic:
        console.print(SYNTHETIC_NOTICE, style="bold yellow")
