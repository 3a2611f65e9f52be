"""Estimates, intervals and tests, of arrays and data frames; they know nothing of studies."""
