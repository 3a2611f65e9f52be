"""Whatever is imported before this, garbage collections leave out: forks share it uncopied."""

import gc

gc.collect()
gc.freeze()
