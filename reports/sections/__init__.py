"""The page's sections in reading order: one question a file."""
