"""What gpu.py measures: each module has a function `run` that is called in a process of its own."""
