"""Parts of `benchmarks/gpu.py` (not called gpu: Blender has a module of that name) and what gets the project to a GPU."""
