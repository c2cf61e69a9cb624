"""What a data set is made of: its types, its image files, its division into train, val and test."""
