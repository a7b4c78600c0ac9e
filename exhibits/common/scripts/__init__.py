"""What the exhibits' train and analyze scripts and `sim.sh` run, and the doctor. Imports every other room."""
