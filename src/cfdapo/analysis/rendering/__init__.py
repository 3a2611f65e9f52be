"""What tables and figures look like: layout, words, styles."""
