"""Statistics, tables and figures of a study: pure functions on data frames, without torch."""
