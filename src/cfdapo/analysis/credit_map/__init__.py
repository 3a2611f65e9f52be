"""Pages of completions whose tokens are coloured by weight."""
