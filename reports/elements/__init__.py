"""Building blocks of pages: formatting, palette, figures, tables and the page skeleton."""
