"""What is on disk: one schema per record, with its reader and writer."""
