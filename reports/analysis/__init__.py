"""From records to the tables that sections show."""
