"""Can the user's own code be imported, the way verl will import it?"""

from collections.abc import Iterator

from sinternal_verl.doctor.problem import Problem


def check_importable(path_key: str, path: str, name_key: str, name: str) -> Iterator[Problem]:
    """Import ``path`` (a file or ``pkg://module``) and look for a callable ``name`` in it."""
    from verl.utils.import_utils import load_module

    try:
        module = load_module(path)
    # The module is the user's code, and the user must see whatever it raises.
    except Exception as error:
        step = "give an existing file, or pkg://package.module"
        yield Problem(path_key, path, f"cannot be imported: {type(error).__name__}: {error}", step)
        return
    if not callable(getattr(module, name, None)):
        functions = ", ".join(n for n in vars(module) if callable(getattr(module, n)) and not n.startswith("_"))
        yield Problem(
            name_key, name, f"{path} has no callable of this name", f"choose one of: {functions or 'none there'}"
        )
