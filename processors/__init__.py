"""What happens to a delivery once it is in the queue: read, understood and kept. jobs.py tells it from end to end."""

import os

# Workers are processes, one a core: numpy's own threads would only take the cores from them. Before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
