"""What an object of Raiment's knows about itself, and where the extension finds the pipeline."""

import bpy


def _fabrics(_self: object, _context: object) -> list[tuple[str, str, str]]:
    from . import pipeline

    if not _KEPT and not pipeline.ready():
        from garments import catalog

        _KEPT.extend((name, name, "") for name in catalog.fabrics())
    return _KEPT or [("cotton", "cotton", "")]


_KEPT: list[tuple[str, str, str]] = []
"""Blender needs the strings of a list made by a function to stay alive."""


class RaimentMarks(bpy.types.PropertyGroup):
    """Marks of one object."""

    kind: bpy.props.EnumProperty(
        name="Kind",
        items=[("NONE", "Nothing", ""), ("BODY", "Body", ""), ("GARMENT", "Garment", "")],
    )
    layer: bpy.props.IntProperty(name="Layer", min=0, max=9, description="A higher layer is worn over a lower one")
    covers: bpy.props.EnumProperty(
        name="Covers",
        items=[("upper", "Upper body", ""), ("lower", "Lower body", ""), ("full", "Whole body", "")],
    )
    loose: bpy.props.BoolProperty(name="Loose", description="It may swing away from the body, as a skirt does")
    fabric: bpy.props.EnumProperty(name="Fabric", items=_fabrics)
    source: bpy.props.StringProperty(name="Source", default="drawn in Blender", description="Who made it, and how")
    licence: bpy.props.StringProperty(name="Licence", default="CC0-1.0")
    model: bpy.props.StringProperty(name="Body model", default="free")
    gender: bpy.props.StringProperty(name="Gender", default="neutral")
    betas: bpy.props.StringProperty(name="Betas")
    motion: bpy.props.StringProperty(name="Motion")
    first: bpy.props.IntProperty(name="First frame", min=0)


class RaimentPreferences(bpy.types.AddonPreferences):
    """Where the pipeline's libraries are."""

    bl_idname = __package__
    libraries: bpy.props.StringProperty(
        name="Libraries",
        subtype="DIR_PATH",
        description="Folder into which Raiment, or what it needs (SciPy, jaxtyping ...), was installed",
    )

    def draw(self, _context: bpy.types.Context) -> None:
        """Draw the preferences."""
        from . import pipeline

        self.layout.prop(self, "libraries")
        missing = pipeline.ready()
        self.layout.label(text=missing or "Raiment is ready", icon="ERROR" if missing else "CHECKMARK")
