"""What pages are built from: formatting, palette, figures, tables and the page skeleton."""
