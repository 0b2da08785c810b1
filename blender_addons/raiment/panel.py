"""The sidebar's page in the 3D view."""

import bpy


class RaimentPanel(bpy.types.Panel):
    """Everything in the order of use."""

    bl_idname = "RAIMENT_PT_main"
    bl_label = "Raiment"
    bl_space_type = "VIEW_3D"
    bl_region_type = "UI"
    bl_category = "Raiment"

    def draw(self, context: bpy.types.Context) -> None:
        """Draw the page."""
        layout, thing = self.layout, context.active_object
        column = layout.column(align=True)
        column.label(text="Import")
        for name, icon in (
            ("body", "ARMATURE_DATA"),
            ("motion", "ANIM"),
            ("garment", "MOD_CLOTH"),
            ("clip", "FILE_CACHE"),
        ):
            column.operator(f"raiment.import_{name}", icon=icon)
        if thing is not None and thing.type == "MESH":
            column = layout.column(align=True)
            column.label(text=f"Marks of {thing.name}")
            for name in ("kind", "covers", "layer", "loose", "fabric", "source", "licence"):
                column.prop(thing.raiment, name)
            column.operator("raiment.mark", icon="PINNED")
        column = layout.column(align=True)
        column.operator("raiment.simulate", icon="PLAY")
        column.operator("raiment.export_garment", icon="EXPORT")
        if context.scene.raiment_verdict:
            for line in context.scene.raiment_verdict.split("; "):
                column.label(text=line)
