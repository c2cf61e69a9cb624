"""Runs: their folders, provenance, external runs, ensembles and reports."""
