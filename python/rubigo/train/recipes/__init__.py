"""Whole trainings that the command line offers and the examples spell out."""
