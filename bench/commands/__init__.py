"""The commands of `python -m bench`: a file each, which imports what it needs only when it runs."""
