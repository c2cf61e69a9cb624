"""Results of runs, and the tables and pages made from them; no torch."""
