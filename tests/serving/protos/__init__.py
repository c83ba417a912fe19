"""Messages and record files, against TensorFlow's own."""
