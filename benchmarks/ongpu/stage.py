"""One stage in this process; its task comes as JSON on standard input."""

import importlib
import os
import sys

from ongpu.ledger import BudgetError, Ledger, Task

MODULES = {
    **dict.fromkeys(("devices", "compile", "render", "split", "labels"), "ongpu.frames"),
    **dict.fromkeys(("processes", "cloth"), "ongpu.together"),
    "fit": "ongpu.fits",
    **dict.fromkeys(("ceilings", "train", "loader", "raster"), "ongpu.networks"),
}


def main() -> None:
    """Run the stage and leave without Blender's way out, which can hang."""
    task = Task.read(sys.stdin.read())
    try:
        importlib.import_module(MODULES[task.stage]).STAGES[task.stage](task, Ledger(task.ledger))
    except BudgetError as error:
        print(f"{task.stage}: time is up before {error}; the same call goes on there", flush=True)
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
