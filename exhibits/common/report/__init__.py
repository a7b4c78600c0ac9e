"""What is shown of runs: the analysis, its pictures, tables of results.

Imports `experiment` and what is below it.
"""
