"""Errors of serving."""

from jd_tf.schema import DataError


class ExportError(DataError):
    """A model that must not be published, or a SavedModel that is broken."""
