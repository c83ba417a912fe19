"""A model server's messages, methods and log files, without TensorFlow."""
