"""What is shown of runs: the analysis, its pictures and page, tables of results.

Imports `library` and what is below it.
"""
