"""What training ends with: accuracy by mode (Tables 1 to 3b, 7, 12 to 14, Figures 1 to 3)."""
