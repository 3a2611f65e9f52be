"""What credit costs (Tables 8 and 11, Figure 4)."""
