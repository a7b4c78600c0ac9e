"""Exhibits without scripts: a network to load and ask, and scikit-learn estimators.

Imports `experiment` and what is below it; knows no picture and no command line.
"""
