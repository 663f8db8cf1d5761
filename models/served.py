"""What MLflow executes when it loads a logged model ("models from code"): no pickled class of ours.

Only that one call belongs here; the wrapper itself is in `models.tracking`.
"""

from models.tracking import serve

serve()
