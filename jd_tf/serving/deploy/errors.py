"""What an operation on model servers raises."""

from jd_tf.schema import DataError


class OperationError(DataError):
    """Refused or impossible; the servers serve what they served."""


class RolledBackError(OperationError):
    """Begun, failed and undone; the old version serves."""


class RollbackError(OperationError):
    """Begun, failed and not undone; a person must look at the servers."""
