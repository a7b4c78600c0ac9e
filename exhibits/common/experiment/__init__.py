"""A run: its configuration, its training, its folder, and studies and results made of many.

Imports `circuit`, `data` and `system`; knows no picture.
"""
