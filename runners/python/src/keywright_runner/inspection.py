"""The check of a deployment: is every function there, importable and callable the way the runner will call it?

Every file is tried on its own, so one answer names all that is wrong, each with file and line. A problem in a helper that
several files import is told once. Importing runs the module's code; a sys.exit in it is a problem like any other.
"""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path
from typing import Any, Optional

from .entries import DEFERRED_MARK, HOOK_FILE, Entry, Project, first_line, usable_function
from .failure import AttemptFailed
from .protocol import cut_text

Finding = dict[str, Any]
MAX_MESSAGE_BYTES = 4096


def inspect_project(root: str, apis: list[str], auth_sessions: bool) -> tuple[list[Finding], list[Finding]]:
    """The problems and the warnings of a project."""
    inspection = _Inspection(root)
    for api in apis:
        inspection.function(f"api/{api.removeprefix('api/')}", takes_parameters=True)
    if auth_sessions:
        inspection.function("auth-sessions/create", takes_parameters=True)
        inspection.function("auth-sessions/check", takes_parameters=False)
    inspection.hook()
    return inspection.problems, inspection.warnings


class _Inspection:
    def __init__(self, root: str) -> None:
        self._project = Project(root)
        self._root = str(Path(root).resolve())
        self.problems: list[Finding] = []
        self.warnings: list[Finding] = []

    def function(self, name: str, takes_parameters: bool) -> None:
        """One entry: its import, its function, its signature."""
        file = f"{name}.py"
        try:
            module = self._project.module(name)
            entry = usable_function(module, name)
        except BaseException as error:  # noqa: BLE001 - importing user code may raise anything
            self._problem(error, file)
            return
        self._signature(entry, file, takes_parameters)

    def hook(self) -> None:
        """The setup hook, if there is one."""
        try:
            self._project.hook()
        except BaseException as error:  # noqa: BLE001 - importing user code may raise anything
            self._problem(error, HOOK_FILE)

    def _signature(self, entry: Entry, file: str, takes_parameters: bool) -> None:
        """A call that cannot bind fails every time, but only at run time; say so now."""
        if getattr(entry, DEFERRED_MARK, False):
            return
        line = first_line(entry)
        try:
            signature = inspect.signature(entry)
        except (TypeError, ValueError):
            return
        calls = {"(page)": (None,), "(page, parameters)": (None, None)} if takes_parameters else {"(page)": (None,)}
        fitting = [shape for shape, arguments in calls.items() if _binds(signature, arguments)]
        if not fitting:
            message = f"{entry.__name__} cannot be called as {' or '.join(calls)}"
            _add(self.problems, {"file": file, "line": line, "message": message})
        elif takes_parameters and "(page, parameters)" not in fitting:
            message = f"{entry.__name__} takes no parameters: a run that has some fails"
            _add(self.warnings, {"file": file, "line": line, "message": message})

    def _problem(self, error: BaseException, file: str) -> None:
        if isinstance(error, AttemptFailed):
            _add(self.problems, {"file": file, "line": error.line, "message": str(error)})
            return
        place = self._place(error)
        found_file, line = place if place is not None else (file, None)
        if isinstance(error, SyntaxError):
            message = f"{type(error).__name__}: {error.msg}"
        elif isinstance(error, SystemExit):
            message = "the module ends the process when it is imported"
        else:
            message = f"{type(error).__name__}: {error}"
        _add(self.problems, {"file": found_file, "line": line, "message": cut_text(message, MAX_MESSAGE_BYTES)})

    def _place(self, error: BaseException) -> Optional[tuple[str, Optional[int]]]:
        """Where in the project it happened: the syntax error's own place, else the innermost frame of the project."""
        if isinstance(error, SyntaxError) and error.filename:
            within = self._relative(error.filename)
            if within is not None:
                return within, error.lineno
        for frame in reversed(traceback.extract_tb(error.__traceback__)):
            within = self._relative(frame.filename)
            if within is not None:
                return within, frame.lineno
        return None

    def _relative(self, filename: str) -> Optional[str]:
        try:
            within = Path(filename).resolve().relative_to(self._root)
        except ValueError:
            return None
        # An environment inside the project is not the project's code.
        return None if within.parts[:1] == (".keywright",) else str(within)


def _binds(signature: inspect.Signature, arguments: tuple[None, ...]) -> bool:
    try:
        signature.bind(*arguments)
    except TypeError:
        return False
    return True


def _add(findings: list[Finding], finding: Finding) -> None:
    if finding not in findings:
        findings.append(finding)
