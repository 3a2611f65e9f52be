"""What measured credit looks like, whether it is right (Tables 4 to 6, 9, 15, Figures 5 to 8)."""
