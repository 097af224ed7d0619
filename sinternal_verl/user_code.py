"""Python of the user's own, named on the command line: a scorer, a data adapter, a check.

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
    """The user's code cannot be had; the message holds what it raised."""


def load(path: str) -> ModuleType:
    """Import a file, once in a process, or the module of ``pkg://package.module``.

    Raises:
        UserCodeError: there is no such file or module, or it raises.
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
            # A dataclass looks its own module up.
            sys.modules[name] = module
            try:
                spec.loader.exec_module(module)
            except BaseException:
                del sys.modules[name]
                raise
        return sys.modules[name]
    # The code is the user's: whatever it raises is what the user has to see. One that ends the process would end
    # ours without a word.
    except (Exception, SystemExit) as error:
        raise UserCodeError(f"cannot be imported: {type(error).__name__}: {error}") from error
