"""Parts of `benchmarks/gpu.py`: what is measured where there is a GPU, and what gets the project there."""
