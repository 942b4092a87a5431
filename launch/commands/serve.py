"""`hvdcells serve`: an exported model behind HTTP, with a page for the browser."""

from typing import Annotated

import typer

_LIMITS = "Limits"
_VARIABLES = "HVDCELLS_SERVE_"


def serve(
    export: Annotated[
        str,
        typer.Argument(
            help="Folder that `hvdcells export RUN OUT --to onnx` has written.", envvar=f"{_VARIABLES}EXPORT"
        ),
    ],
    host: Annotated[
        str,
        typer.Option(
            help="Name or address to listen at. Others than this machine reach 0.0.0.0 (all addresses).",
            envvar=f"{_VARIABLES}HOST",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8080,
    token: Annotated[
        str | None,
        typer.Option(
            envvar=f"{_VARIABLES}TOKEN",
            help="Asked of every request but the page and /ping. Better given by the variable: others see a command.",
            show_default=False,
            show_envvar=True,
        ),
    ] = None,
    without_token: Annotated[
        bool,
        typer.Option(
            "--without-token",
            help="With --host: whoever reaches the port may use it, as behind SageMaker.",
            envvar=f"{_VARIABLES}WITHOUT_TOKEN",
        ),
    ] = False,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Workers that predict. Left out: one a core.", show_default=False)
    ] = None,
    megabytes: Annotated[int, typer.Option(min=1, help="Most of one request.", rich_help_panel=_LIMITS)] = 32,
    megapixels: Annotated[int, typer.Option(min=1, help="Most of one image.", rich_help_panel=_LIMITS)] = 16,
    images: Annotated[int, typer.Option(min=1, help="Most in one request.", rich_help_panel=_LIMITS)] = 256,
    waiting: Annotated[
        int, typer.Option(min=1, help="Images that may wait; who comes then hears 503.", rich_help_panel=_LIMITS)
    ] = 1024,
    seconds: Annotated[
        float, typer.Option(min=0.1, help="Most for a request to come, and to be answered.", rich_help_panel=_LIMITS)
    ] = 30.0,
) -> None:
    """Serve a model: a page to drop cells on, SageMaker's /ping and /invocations, /metrics and /openapi.json.

    It needs neither TensorFlow nor Spark. Images are neither stored nor logged. SIGTERM and Ctrl-C end it when all
    that was asked is answered. See docs/deploy.md.
    """
    from hvdcells.errors import UserError
    from hvdcells.serving import LOOPBACK_NAMES, NOTICE, SYNTHETIC, is_loopback
    from launch.terminal.console import Console

    loopback = is_loopback(host)
    if not loopback and token is None and not without_token:
        raise UserError(
            f"--host {host} without a token", "a token, or the word that none is wanted", "--token or --without-token"
        )
    if token is not None and (without_token or len(token) < 16 or not token.isascii()):
        raise UserError(
            "--token and --without-token" if without_token else "a token that is short or not of ASCII",
            "a token of 16 characters or more, or none",
            "make one: python3 -c 'import secrets; print(secrets.token_urlsafe())'",
        )
    try:
        from hvdcells.serving.app import application
        from hvdcells.serving.given import Limits
        from hvdcells.serving.server import serve_until_stopped, usable_cores
    except ImportError as error:
        raise UserError(f"{error.name} is not installed", "what serves", "pip install 'hvdcells[serve]'") from None
    from hvdcells.serving.model import ServedModel

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    limits = Limits(
        most_body_bytes=megabytes * 10**6,
        most_held_bytes=4 * megabytes * 10**6,
        most_images=images,
        most_pixels=megapixels * 10**6,
        most_waiting=waiting,
        seconds=seconds,
    )
    model = ServedModel.load(export)
    app = application(model, threads or usable_cores(), limits, token, LOOPBACK_NAMES if loopback else ())

    def tell(port: int) -> None:
        shown = "localhost" if loopback else host
        console.print(f"Serving {export} at http://{shown}:{port}/ (Ctrl-C ends)", markup=False)
        console.print(NOTICE)
        if model.described.synthetic:
            console.print(SYNTHETIC, style="bold yellow")

    serve_until_stopped(app, host, port, limits, tell)
