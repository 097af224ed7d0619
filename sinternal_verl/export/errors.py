"""What an export that cannot be done raises."""


class ExportError(ValueError):
    """There is no checkpoint, or it cannot be exported; the message says what to do."""
