"""Deciding which model to use within a given time: timing, rounds of trainings, elimination, finals."""
