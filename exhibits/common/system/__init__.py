"""What a program asks of the machine: files, memory, environment, signals, and errors in one line.

Imports no other room.
"""
