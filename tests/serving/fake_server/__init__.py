"""A fake model server and the real one, started alike.

The fake server answers with the real SavedModel, loaded into a session of
its own as the server loads it, and keeps the server's documented rules:
versions, labels, reloads, batching, status codes. `start.model_server` takes
the binary that the environment variable JD_TF_MODEL_SERVER names instead, if
it does.
"""
