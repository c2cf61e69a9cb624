"""Records on disk: one schema each, with its reader and writer."""
