"""The `synth` command. Each command lives in its own module and is imported only when it is called."""

import importlib
import logging
import sys
from typing import Any

import click

from synth.errors import SynthError

COMMANDS = {
    "render": ("synth.cli.render", "Make shards: plan, simulate, render, label, verify."),
    "plan": ("synth.cli.render", "Write the clips that `render` would make, one spec a line."),
    "farm": ("synth.cli.farm", "Farm jobs across nodes: plan, submit, look, collect."),
    "verify": ("synth.cli.shards", "Check every label of every shard against its pixels."),
    "info": ("synth.cli.shards", "Say what a folder of shards holds."),
    "sheet": ("synth.cli.shards", "Draw a contact sheet with the labels laid over the pictures."),
    "report": ("synth.cli.report", "One page about a folder: pictures, clips, distributions, times."),
    "view": ("synth.cli.view", "Look at shards in the browser: pictures beside the 3D scene."),
    "export": ("synth.cli.export", "Write shards as bedlam, surreal, vibe, spin, coco, webdataset or video."),
    "merge": ("synth.cli.folders", "Put several folders of shards into one."),
    "split": ("synth.cli.folders", "Divide shards into train, val and test so that nothing leaks."),
    "regenerate": ("synth.cli.folders", "Make a clip again from its spec and compare it."),
    "body": ("synth.cli.body", "Build the free body, look at body models."),
    "motion": ("synth.cli.motion", "List motions, fit mocap to the body."),
    "garment": ("synth.cli.garment", "List, build, check, fit and preview garments."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and first lines without importing them, so that --help is instant."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names, in the order of use."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command's module. It holds a click command of the command's own name."""
        if cmd_name not in COMMANDS:
            return None
        return getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands for --help."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


def set_up_logging(verbose: int) -> None:
    """Send the library's log to stderr: warnings, with -v also progress, with -vv everything."""
    level = {0: logging.WARNING, 1: logging.INFO}.get(verbose, logging.DEBUG)
    logging.basicConfig(level=level, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s", force=True)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("-v", "--verbose", count=True, help="Say more: -v progress, -vv everything.")
@click.version_option(package_name="raiment")
def synth(verbose: int) -> None:
    """Clothed human motion: from motion capture to HDF5 shards of dressed, moving, labelled people.

    Start with: synth render --sequences cmu --views 4
    """
    set_up_logging(verbose)


def run(command: click.Command, **settings: Any) -> None:
    """Run a click command; a user's mistake is one clear line on stderr and exit status 2."""
    try:
        command(**settings)
    except SynthError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)


def main() -> None:
    """Entry point of the `synth` script."""
    run(synth, prog_name="synth")
