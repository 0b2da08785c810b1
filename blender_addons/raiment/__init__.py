"""Raiment in Blender: draw garments on a free body, try them in motion with the pipeline's own simulation, export."""

import bpy

from . import marks, operators, panel

_CLASSES = (marks.RaimentMarks, marks.RaimentPreferences, *operators.CLASSES, panel.RaimentPanel)


def register() -> None:
    """Called by Blender when the extension is enabled."""
    for kind in _CLASSES:
        bpy.utils.register_class(kind)
    bpy.types.Object.raiment = bpy.props.PointerProperty(type=marks.RaimentMarks)
    bpy.types.Scene.raiment_verdict = bpy.props.StringProperty(name="What the checks say")


def unregister() -> None:
    """Called by Blender when it is disabled."""
    del bpy.types.Scene.raiment_verdict
    del bpy.types.Object.raiment
    for kind in reversed(_CLASSES):
        bpy.utils.unregister_class(kind)
