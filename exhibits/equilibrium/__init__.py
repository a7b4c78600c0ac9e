"""Equilibrium propagation (Scellier and Bengio, 2017): what the depth study compares the exhibits with."""
