"""What any exhibit of this kind needs; imports no exhibit."""

import os

os.environ["MPLBACKEND"] = (
    "Agg"  # pictures go to files; ngc-learn imports Matplotlib, which refuses a name it cannot use
)
