"""The language model being trained: loading, generation and the CF-DAPO trainer."""
