"""The report of an evaluation: page, plots and tables."""
