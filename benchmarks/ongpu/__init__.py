"""Parts of `benchmarks/gpu.py` (not called gpu: Blender has a module of that name), and of what goes to a GPU."""
