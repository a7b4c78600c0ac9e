"""Patterns and labels: known data sets, a user's own files, and what is recorded of them.

Imports `system`; knows no circuit and no run.
"""
