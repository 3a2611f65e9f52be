"""The paper's own numbers, and a study's beside them (Tables 10 and 16)."""
