"""The tasks, a module each with its `TASK`; only the study's own is imported."""
