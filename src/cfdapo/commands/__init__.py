"""What the command `cfdapo` can do, a module each with its `main`; they need no study."""
