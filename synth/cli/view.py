"""`synth view`: look at shards in the browser."""

from pathlib import Path

import click

__all__ = ["view"]


@click.command()
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path))
@click.option("--port", default=8010, show_default=True, type=click.IntRange(0, 65535), help="0: any that is free.")
@click.option("--open/--no-open", "open_browser", default=False, help="Open the browser too.")
def view(folder: Path, port: int, open_browser: bool) -> None:
    """Look at the shards in DIR: pictures of all views beside the 3D scene, frame by frame, label by label.

    The page is served to this machine only (127.0.0.1); to see shards on another one, forward the port:
    ssh -L 8010:127.0.0.1:8010 HOST. Stop with Ctrl-C.

    \b
    Examples:
      synth view shards/
      synth view shards/ --port 0 --open
    """  # noqa: D301
    import webbrowser

    from synth.view.server import serve

    server = serve(folder, port)
    address = f"http://127.0.0.1:{server.server_port}/"
    click.echo(f"{address}  (Ctrl-C stops)")
    if open_browser:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("stopped")
    finally:
        server.server_close()
