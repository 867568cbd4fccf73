"""What a deployment is told about its code, with file and line."""

from __future__ import annotations

import pytest
from worker import EXAMPLES, FIXTURES


def inspect(new_worker, root, apis, auth_sessions=False):
    worker = new_worker()
    worker.send("inspect", root=str(root), apis=apis, authSessions=auth_sessions)
    answer = worker.expect("inspected")
    assert worker.end() == 0
    return answer


@pytest.mark.parametrize(
    ("name", "apis", "file", "line", "text"),
    [
        ("broken-py-import", ["broken", "fine"], "api/broken.py", 3, "no_such_module_anywhere"),
        ("broken-py-syntax", ["broken"], "api/broken.py", 2, "SyntaxError"),
        ("broken-py-sync", ["broken"], "api/broken.py", 1, "async def"),
    ],
)
def test_a_broken_api_is_named_with_its_line(new_worker, name, apis, file, line, text):
    answer = inspect(new_worker, FIXTURES / name, apis)
    (problem,) = answer["problems"]
    assert (problem["file"], problem["line"]) == (file, line)
    assert text in problem["message"]


def test_a_missing_create_is_a_problem_of_an_auth_enabled_project(new_worker):
    answer = inspect(new_worker, FIXTURES / "broken-no-create", ["fine"], auth_sessions=True)
    assert [problem["file"] for problem in answer["problems"]] == ["auth-sessions/create.py"]


def test_an_api_and_a_folder_of_the_same_name_are_both_found(new_worker):
    answer = inspect(new_worker, EXAMPLES / "shop-py", ["orders", "orders/details"], auth_sessions=True)
    assert answer["problems"] == [] and answer["warnings"] == []


def test_every_file_is_judged_on_its_own_and_a_shared_cause_is_told_once(new_worker, project):
    root = project(
        {
            "lib/shared.py": "\n\nraise RuntimeError('at import')\n",
            "api/one.py": "import lib.shared\nasync def automation(page, params): pass\n",
            "api/two.py": "import lib.shared\nasync def automation(page, params): pass\n",
            "api/exits.py": "import sys\nsys.exit(1)\n",
            "api/empty.py": "VALUE = 1\n",
            "api/few.py": "async def automation(page): pass\n",
            "api/many.py": "async def automation(page, params, context): pass\n",
            "hooks/setup_context.py": "def setup_context(): pass\n",
            "auth-sessions/create.py": "async def create(page, params): pass\n",
            "auth-sessions/check.py": "\nasync def check(page, params): pass\n",
        }
    )
    answer = inspect(new_worker, root, ["one", "two", "exits", "empty", "few", "many"], auth_sessions=True)
    places = [(problem["file"], problem["line"]) for problem in answer["problems"]]
    assert places == [
        ("lib/shared.py", 3), ("api/exits.py", 2), ("api/empty.py", None), ("api/many.py", 1),
        ("auth-sessions/check.py", 2), ("hooks/setup_context.py", 1),
    ]
    assert [(warning["file"], warning["line"]) for warning in answer["warnings"]] == [("api/few.py", 1)]
