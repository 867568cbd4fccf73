"""From a function's name to the callable of the project.

`api/foo` is the module `api.foo` below the project's root; dashes, leading digits
and nested folders are fine, `__init__.py` is not needed. In the module the first
of `automation`, `create`, `check` counts and must be `async def`. Refused with
`not-found`: a name that leaves the project, a missing file, no usable function.
Modules stay loaded for the next attempt of the same slot.
"""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from collections.abc import Awaitable, Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

from .failure import AttemptFailed
from .protocol import NOT_FOUND

FUNCTIONS = ("automation", "create", "check")
OWN_FOLDERS = ("api", "hooks", "auth-sessions")
HOOK_FILE = "hooks/setup_context.py"
SEGMENT = re.compile(r"[^./\\\x00]+\Z")
DEFERRED_MARK = "__keywright_deferred_browser__"

Entry = Callable[..., Awaitable[Any]]


class ProjectFinder:
    """Finds `api`, `hooks` and `auth-sessions` in the project even if an installed package has the name."""

    def __init__(self, root: str) -> None:
        self._root = root

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The project's folder, or nothing for any other name."""
        if path is not None or name not in OWN_FOLDERS:
            return None
        return PathFinder.find_spec(name, [self._root], target)


class Project:
    """The code of one deployment."""

    def __init__(self, root: str) -> None:
        self.root = root
        own = str(Path(__file__).resolve().parents[1])
        # The root is read-only and shared between slots.
        sys.dont_write_bytecode = True
        # Our own modules first: the import names of the platform are served whatever a project lists or contains.
        for entry in (self.root, own):
            if entry in sys.path:
                sys.path.remove(entry)
            sys.path.insert(0, entry)
        finder: Any = ProjectFinder(root)
        sys.meta_path.insert(0, finder)
        importlib.invalidate_caches()

    def entry(self, function: str) -> Entry:
        """The callable behind a function's name. Runs the module's code if it is not loaded yet."""
        return usable_function(self.module(function), function)

    def module(self, name: str) -> ModuleType:
        """The loaded module of a file of the project, named by its path without `.py`."""
        segments = name.split("/")
        if len(segments) < 2 or not all(SEGMENT.match(segment) for segment in segments):
            raise AttemptFailed(NOT_FOUND, f"{name!r} is not the name of a function")
        if not self.has(name):
            raise AttemptFailed(NOT_FOUND, f"there is no {name}.py in the project")
        return self._load(".".join(segments), Path(self.root, name))

    def has(self, name: str) -> bool:
        """Whether the project has a file of this name."""
        base = Path(self.root, name)
        return base.with_name(base.name + ".py").is_file() or (base / "__init__.py").is_file()

    def _load(self, dotted: str, base: Path) -> ModuleType:
        """Load the file itself, not through its parents: `api/orders.py` and `api/orders/details.py` live side by side."""
        if dotted in sys.modules:
            return sys.modules[dotted]
        file, folder = base.with_name(base.name + ".py"), base
        inside = None
        if not file.is_file():
            file, inside = base / "__init__.py", [str(folder)]
        spec = importlib.util.spec_from_file_location(dotted, file, submodule_search_locations=inside)
        if spec is None or spec.loader is None:
            raise AttemptFailed(NOT_FOUND, f"{file.name} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        if inside is None and folder.is_dir():
            module.__path__ = [str(folder)]  # so that `import api.orders.details` works for the project too
        sys.modules[dotted] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            sys.modules.pop(dotted, None)
            raise
        return module

    def hook(self) -> Entry | None:
        """The setup hook, if the project has one."""
        if not Path(self.root, HOOK_FILE).is_file():
            return None
        hook = getattr(self.module("hooks/setup_context"), "setup_context", None)
        if hook is None:
            raise AttemptFailed(NOT_FOUND, f"{HOOK_FILE} has no function setup_context")
        if not inspect.iscoroutinefunction(hook):
            line = first_line(hook)
            raise AttemptFailed(NOT_FOUND, f"setup_context in {HOOK_FILE} must be `async def`", line=line)
        return hook  # type: ignore[no-any-return]


def usable_function(module: ModuleType, name: str) -> Entry:
    """The module's entry. Raises AttemptFailed when there is none that can be called."""
    for candidate in FUNCTIONS:
        function = getattr(module, candidate, None)
        if function is None:
            continue
        if not inspect.iscoroutinefunction(function):
            message = f"{candidate} in {name}.py must be `async def`"
            raise AttemptFailed(NOT_FOUND, message, line=first_line(function))
        return function  # type: ignore[no-any-return]
    raise AttemptFailed(NOT_FOUND, f"{name}.py has none of the functions {', '.join(FUNCTIONS)}")


def first_line(function: Any) -> int | None:
    """Where a function begins in its file."""
    code = getattr(inspect.unwrap(function), "__code__", None) if callable(function) else None
    return code.co_firstlineno if code is not None else None
