"""Shader graphs of skin and cloth. They give colours in the picture and, in the ground truth's scene, labels."""

from pathlib import Path
from typing import Any

import bpy
import numpy as np
from jaxtyping import Float

from synth.assets import resolve
from synth.errors import SynthError
from synth.scene.materials import BARE, cloth_tile
from synth.spec import MaterialSpec

Array = np.ndarray

LABELS = "labels"
"""Name of the face attribute and of the pass that carry (part, garment, 0)."""
NORMAL = "true_normal"
"""Name of the pass with the geometric normal, world frame."""
SKIN = "skin_colour"
"""Name of the vertex attribute with the skin's colour."""


def load_image(path: Path) -> Any:
    """Load a picture for a shader and make sure that it is really there.

    Blender renders black or magenta from a damaged file, without a word.

    Raises:
        SynthError: the picture cannot be read; the message names it.
    """
    try:
        image = bpy.data.images.load(str(path))
    except RuntimeError:
        raise SynthError(f"{path}: no such picture", "Restore the file or plan the clips anew") from None
    intact = image.size[0] > 0 and image.size[1] > 0 and len(image.pixels) > 0
    if not (intact and image.has_data):
        bpy.data.images.remove(image)
        raise SynthError(
            f"{path}: not a readable picture", "Remove it from the folder, or replace it by an intact copy"
        )
    return image


def array_image(name: str, pixels: Float[Array, "H W 3"]) -> Any:
    """Make a linear RGB image for a shader from an array (first row on top)."""
    height, width = pixels.shape[:2]
    image = bpy.data.images.new(name, width, height, float_buffer=True)
    image.colorspace_settings.name = "Linear Rec.709"  # pyright: ignore
    rgba = np.ones((height, width, 4), dtype=np.float32)
    rgba[..., :3] = pixels[::-1]
    image.pixels.foreach_set(rgba.ravel())  # pyright: ignore
    image.update()
    return image


def cloth(spec: MaterialSpec, name: str) -> Any:
    """Shader of a garment; texture coordinates are metres of fabric.

    Raises:
        SynthError: the texture cannot be read.
    """
    material, nodes, links, surface = _principled(name, spec)
    fibrous = spec.pattern not in BARE
    surface.inputs["Specular IOR Level"].default_value = 0.25 if fibrous else 0.45
    surface.inputs["Sheen Weight"].default_value = 0.15 if fibrous else 0.0
    picture = nodes.new("ShaderNodeTexImage")
    picture.image = load_image(resolve(spec.image)) if spec.image else array_image(name, cloth_tile(spec))
    place = nodes.new("ShaderNodeMapping")
    place.inputs["Rotation"].default_value = (0.0, 0.0, spec.rotation)
    place.inputs["Scale"].default_value = (spec.scale, spec.scale, 1.0)
    coordinates = nodes.new("ShaderNodeUVMap")
    links.new(coordinates.outputs["UV"], place.inputs["Vector"])
    links.new(place.outputs["Vector"], picture.inputs["Vector"])
    links.new(_tinted(nodes, links, picture, spec) if spec.image else picture.outputs["Color"], surface.inputs[0])
    return material


def skin(spec: MaterialSpec, name: str) -> Any:
    """Shader of the body: the colour from the vertices, or from a texture in the body's UV layout; some light goes in.

    Raises:
        SynthError: the texture cannot be read.
    """
    material, nodes, links, surface = _principled(name, spec)
    surface.inputs["Subsurface Weight"].default_value = 0.1
    surface.inputs["Subsurface Radius"].default_value = (1.0, 0.35, 0.2)
    surface.inputs["Subsurface Scale"].default_value = 0.006
    surface.inputs["Specular IOR Level"].default_value = 0.35
    if spec.image:
        picture = nodes.new("ShaderNodeTexImage")
        picture.image = load_image(resolve(spec.image))
        links.new(_tinted(nodes, links, picture, spec), surface.inputs["Base Color"])
    else:
        links.new(_attribute(nodes, SKIN).outputs["Color"], surface.inputs["Base Color"])
    return material


def _write_labels(nodes: Any, links: Any) -> None:
    """Let a shader also write the labels and the geometric normal, for the scene that has passes for them.

    A material override in that scene's view layer would do the same, but triples the cost (.21 s against .06 s).
    """
    sources = {LABELS: _attribute(nodes, LABELS).outputs["Vector"]}
    sources[NORMAL] = nodes.new("ShaderNodeNewGeometry").outputs["True Normal"]
    for name, socket in sources.items():
        written = nodes.new("ShaderNodeOutputAOV")
        written.aov_name = name
        links.new(socket, written.inputs["Color"])


def _principled(name: str, spec: MaterialSpec) -> tuple[Any, Any, Any, Any]:
    material = bpy.data.materials.new(name)
    material.use_nodes = True
    tree: Any = material.node_tree
    surface = tree.nodes["Principled BSDF"]
    surface.inputs["Roughness"].default_value = spec.roughness
    _write_labels(tree.nodes, tree.links)
    return material, tree.nodes, tree.links, surface


def _attribute(nodes: Any, name: str) -> Any:
    node = nodes.new("ShaderNodeAttribute")
    node.attribute_type, node.attribute_name = "GEOMETRY", name
    return node


def _tinted(nodes: Any, links: Any, picture: Any, spec: MaterialSpec) -> Any:
    tint = nodes.new("ShaderNodeMix")
    tint.data_type, tint.blend_type = "RGBA", "MULTIPLY"
    tint.inputs["Factor"].default_value = 1.0
    colours = [socket for socket in tint.inputs if socket.type == "RGBA"]
    links.new(picture.outputs["Color"], colours[0])
    colours[1].default_value = (*spec.colour, 1.0)
    return next(socket for socket in tint.outputs if socket.type == "RGBA")
