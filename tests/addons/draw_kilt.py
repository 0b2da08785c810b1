"""What a person does in Blender, by script and in a process of its own: install the extension, draw, try, export.

python draw_kilt.py PACKAGE.zip FOLDER; writes FOLDER/garments/kilt and prints what the extension said.
"""

import json
import sys
from pathlib import Path

import bpy
import numpy as np


def installed(package: Path) -> None:
    bpy.ops.wm.read_factory_settings(use_empty=False)
    for thing in list(bpy.data.objects):
        bpy.data.objects.remove(thing)
    done = bpy.ops.extensions.package_install_files(filepath=str(package), repo="user_default", enable_on_install=True)
    assert done == {"FINISHED"}, done
    assert "bl_ext.user_default.raiment" in bpy.context.preferences.addons


def drawn(body) -> object:
    """A kilt: an open cone, rings cut into it, wrapped around the body, unwrapped along a seam, held at the waist."""
    import bmesh  # only there once bpy is

    mesh = bmesh.new()
    bmesh.ops.create_cone(mesh, cap_ends=False, segments=48, radius1=0.27, radius2=0.175, depth=0.42)
    upright = [edge for edge in mesh.edges if abs(edge.verts[0].co.z - edge.verts[1].co.z) > 0.1]
    bmesh.ops.subdivide_edges(mesh, edges=upright, cuts=15, use_grid_fill=True)
    bmesh.ops.scale(mesh, vec=(1.0, 0.85, 1.0), verts=mesh.verts)
    bmesh.ops.translate(mesh, vec=(0.0, -0.055, -0.32), verts=mesh.verts)
    data = bpy.data.meshes.new("Kilt")
    mesh.to_mesh(data)
    mesh.free()
    kilt = bpy.data.objects.new("Kilt", data)
    bpy.context.scene.collection.objects.link(kilt)
    bpy.context.view_layer.objects.active = kilt
    kilt.select_set(True)
    wrap = kilt.modifiers.new("wrap", "SHRINKWRAP")
    wrap.target, wrap.wrap_mode, wrap.offset = body, "OUTSIDE", 0.014
    bpy.ops.object.modifier_apply(modifier="wrap")
    smooth = kilt.modifiers.new("smooth", "SMOOTH")
    smooth.iterations = 5
    bpy.ops.object.modifier_apply(modifier="smooth")
    places = np.array([vertex.co for vertex in kilt.data.vertices])
    behind = np.abs(places[:, 0]) < 0.012
    for edge in kilt.data.edges:
        ends = list(edge.vertices)
        edge.use_seam = bool(behind[ends].all() and places[ends, 1].min() > -0.05)
    bpy.ops.object.mode_set(mode="EDIT")
    bpy.ops.mesh.select_all(action="SELECT")
    bpy.ops.mesh.normals_make_consistent(inside=False)
    bpy.ops.uv.unwrap(method="ANGLE_BASED")
    bpy.ops.mesh.select_all(action="DESELECT")
    bpy.ops.object.mode_set(mode="OBJECT")
    for vertex in kilt.data.vertices:
        vertex.select = bool(vertex.co.z > places[:, 2].max() - 0.03)
    assert bpy.ops.raiment.mark(group="pins", weight=1.0) == {"FINISHED"}
    assert bpy.ops.raiment.mark(group="region", part="1") == {"FINISHED"}
    marks = kilt.raiment
    marks.covers, marks.layer, marks.loose, marks.fabric = "lower", 0, True, "wool"
    return kilt


def refusal(operator, **settings) -> str:
    """What an operator reports as an error; nothing if it did its work."""
    try:
        assert operator(**settings) == {"FINISHED"}
    except RuntimeError as error:
        return str(error)
    return ""


def main(package: Path, folder: Path) -> None:
    installed(package)
    ops, scene = bpy.ops.raiment, bpy.context.scene
    assert ops.import_body(gender="neutral") == {"FINISHED"}
    body = scene.objects["body"]
    kilt = drawn(body)
    assert ops.import_motion(filepath="cmu:01_01", first=600) == {"FINISHED"}
    assert ops.simulate(frames=10, solver="cloth", quality=5) == {"FINISHED"}
    said = {"simulated": scene.raiment_verdict}
    moving, moving_body = scene.objects["moving Kilt"], scene.objects["moving body"]
    places = []
    for frame in (1, 10):
        scene.frame_set(frame)
        evaluated = moving.evaluated_get(bpy.context.evaluated_depsgraph_get()).to_mesh()
        places.append(np.array([vertex.co for vertex in evaluated.vertices]))
    said["moved"] = float(np.abs(places[1] - places[0]).max())
    said["above_the_floor"] = float(places[0][:, 2].min())
    said["frames"], said["body"] = scene.frame_end, len(moving_body.data.vertices)
    bpy.context.view_layer.objects.active = kilt
    said["exported"] = refusal(
        ops.export_garment, directory=str(folder / "garments"), name="kilt", reach=1.0, grid=False
    )
    said["checked"] = scene.raiment_verdict
    assert ops.import_garment(name=str(folder / "garments" / "kilt")) == {"FINISHED"}
    said["again"] = len(scene.objects["kilt"].data.polygons)
    bpy.ops.mesh.primitive_cube_add()
    cube = bpy.context.active_object
    for layer in list(cube.data.uv_layers):
        cube.data.uv_layers.remove(layer)
    said["cube"] = refusal(ops.export_garment, directory=str(folder / "garments"), name="cube")
    said["nowhere"] = refusal(ops.import_motion, filepath=str(folder / "nothing.npz"))
    bpy.ops.preferences.addon_disable(module="bl_ext.user_default.raiment")
    said["disabled"] = not hasattr(bpy.types.Object, "raiment")
    sys.stdout.write("SAID " + json.dumps(said) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
