"""Loads the user's own Python that the command line names: a scorer, a data adapter, a check.

>>> load("pkg://math").sqrt(4)
2.0
"""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

PACKAGE = "pkg://"

NEXT_STEP = "give an existing file, or pkg://package.module"


class UserCodeError(ValueError):
    """The user's code cannot be loaded; the message has the exception that it raised."""


def load(path: str) -> ModuleType:
    """Import a file, once in a process, or the module that ``pkg://package.module`` names.

    Raises:
        UserCodeError: there is no such file or module, or its import raises.
    """
    try:
        if path.startswith(PACKAGE):
            return importlib.import_module(path.removeprefix(PACKAGE))
        file = Path(path).expanduser().resolve(strict=True)
        name = f"sinternal_user_{file.stem}_{hash(str(file)) & 0xFFFFFFFF:08x}"
        if name not in sys.modules:
            spec = importlib.util.spec_from_file_location(name, file)
            if spec is None:
                raise ImportError(f"{file.name} is no Python file: its name must end in .py")
            module = importlib.util.module_from_spec(spec)
            # Registered before it runs: a dataclass looks up its own module.
            sys.modules[name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
        return sys.modules[name]
    # The code is the user's, and the user must see whatever it raises. A SystemExit would end our process without a
    # message.
    except (Exception, SystemExit) as error:
        raise UserCodeError(f"cannot be imported: {type(error).__name__}: {error}") from error
