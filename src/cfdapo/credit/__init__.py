"""The method: which spans of a completion caused its answer, and what weight their tokens get."""
