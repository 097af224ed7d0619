"""Reads the JSON files of checkpoints and models, which hold one object each."""

import json
from pathlib import Path
from typing import Any

from sinternal_verl.export.errors import ExportError


def read_object(file: Path) -> dict[str, Any]:
    """
    Raises:
        ExportError: the file cannot be read, or holds something else.
    """
    try:
        found = json.loads(file.read_text())
    except (ValueError, OSError) as error:
        raise ExportError(f"{file} cannot be read, as one that was not saved whole ({error})") from error
    if not isinstance(found, dict):
        raise ExportError(f"{file} holds no object, as one that was not saved whole")
    return found
