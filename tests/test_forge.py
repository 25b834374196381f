"""What a forge and Docker are told: workflows and the container's recipe, as far as text tells."""

from __future__ import annotations

import ast
import json
import re
import shlex
import tomllib
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from rainkit.cli import app

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _workflow(name: str) -> dict[str, Any]:
    """A workflow; YAML 1.1 reads its key ``on`` as true."""
    text = (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    return {("on" if key is True else key): value for key, value in yaml.safe_load(text).items()}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_are_whole_and_may_do_little(path: Path):
    flow = _workflow(path.name)
    assert flow["on"]
    assert flow["permissions"] == {"contents": "read"}
    jobs = flow["jobs"]
    for job in jobs.values():
        needs = job.get("needs", [])
        assert set([needs] if isinstance(needs, str) else needs) <= set(jobs)
        if local := job.get("uses"):
            assert (ROOT / local).is_file()
            continue
        for step in job["steps"]:
            assert ("uses" in step) != ("run" in step)
            assert "uses" not in step or re.fullmatch(r"[\w.-]+/[\w.-]+@[\w./]+", step["uses"])
    text = path.read_text(encoding="utf-8")
    assert "secrets." not in text, "trusted publishing needs no secret"
    assert "://" not in text, "no host is named"
    for script in re.findall(r"(?:python|bash) ([\w/]+\.(?:py|sh))", text):
        assert (ROOT / script).is_file(), script


def test_all_systems_and_pythons_are_tested():
    matrix = _workflow("tests.yml")["jobs"]["tests"]["strategy"]["matrix"]
    assert {each.partition("-")[0] for each in matrix["os"]} == {"ubuntu", "macos", "windows"}
    named = [each.rpartition(" :: ")[2] for each in ABOUT["classifiers"] if ":: 3." in each]
    assert matrix["python"] == named


def test_only_the_publishing_job_may_publish_and_after_the_tests():
    jobs = _workflow("release.yml")["jobs"]
    allowed = {name for name, job in jobs.items() if "id-token" in job.get("permissions", {})}
    assert allowed == {"publish"}
    assert {"tests", "build"} <= set(jobs["publish"]["needs"])
    assert jobs["publish"]["environment"]


@pytest.fixture(scope="module")
def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile, each with its arguments on one line."""
    text = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    lines = re.sub(r"^\s*#.*\n", "", text, flags=re.MULTILINE).replace("\\\n", " ").splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line.strip()]


def test_the_container_copies_what_exists_and_is_let_in(instructions: list[tuple[str, str]]):
    rules = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    rules = [rule for rule in rules if rule and not rule.startswith("#")]

    def let_in(name: str) -> bool:
        kept = True
        for rule in rules:  # the last that fits decides
            if fnmatch(name, rule.removeprefix("!")):
                kept = rule.startswith("!")
        return kept

    for word, rest in instructions:
        if word == "COPY" and "--from" not in rest:
            *sources, _ = shlex.split(rest)
            assert all((ROOT / source).exists() and let_in(source) for source in sources), rest
    assert not let_in(".git")
    assert not let_in("docs")


def test_the_container_builds_from_what_it_copies(instructions: list[tuple[str, str]]):
    """The files that the metadata name are copied before pip needs them, as are extras."""
    copied = " ".join(rest for word, rest in instructions if word == "COPY").split()
    assert {ABOUT["readme"], *ABOUT["license-files"], "pyproject.toml", "rainkit"} <= set(copied)
    (install,) = [rest for word, rest in instructions if word == "RUN" and "./plugins/" in rest]
    plugins = set(re.findall(r"\./plugins/([\w-]+)", install))
    extras = ABOUT["optional-dependencies"]
    assert plugins == {line.partition(">")[0] for line in extras["all"]}
    assert all((ROOT / "plugins" / name / "pyproject.toml").is_file() for name in plugins)
    (wanted,) = re.findall(r"\.\[([\w,]+)\]", install)
    assert {"serve"} <= set(wanted.split(",")) <= set(extras)


def test_the_container_serves_as_a_user_without_privileges(instructions: list[tuple[str, str]]):
    last = dict(instructions)
    assert last["USER"] not in ("root", "0")
    assert json.loads(last["ENTRYPOINT"]) == ["rainkit"]
    verb, *options = json.loads(last["CMD"])
    command = typer.main.get_command(app).commands[verb]
    context = command.make_context(verb, list(options), resilient_parsing=True)
    assert context.params["host"] == "0.0.0.0"  # noqa: S104
    assert str(context.params["port"]) == last["EXPOSE"]
    assert "/health" in last["HEALTHCHECK"] or "/health" in instructions[-3][1]


def test_the_citation_is_that_of_this_version():
    import rainkit

    about = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert about["cff-version"] == "1.2.0"
    assert (about["version"], about["license"]) == (rainkit.__version__, ABOUT["license"])
    assert set(about["keywords"]) == set(ABOUT["keywords"])
    assert {"message", "title", "authors", "type", "abstract"} <= set(about)


def test_hooks_run_tools_that_the_tests_bring():
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (local,) = config["repos"]
    assert local["repo"] == "local", "nothing is fetched"
    brought = {re.split(r"[<>=\[]", each)[0] for each in ABOUT["optional-dependencies"]["test"]}
    for hook in local["hooks"]:
        assert hook["language"] == "system"
        tool, *words = shlex.split(hook["entry"])
        assert tool in brought | {"python"}, hook["id"]
        for word in words:
            assert not word.endswith(".py") or (ROOT / word).is_file(), word


FETCHING = {"urllib.request", "http.client", "requests", "httpx", "aiohttp", "huggingface_hub"}
CODE = [*(ROOT / "rainkit").rglob("*.py"), *(ROOT / "plugins").glob("*/rainkit_*/**/*.py")]


def test_the_code_keeps_what_the_security_page_promises():
    """Tensors alone are read of checkpoints, no text runs, and one module fetches."""
    fetching = set()
    for path in CODE:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            where = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.Import):
                names = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {str(node.module)}
            else:
                names = set()
            if names & FETCHING:
                fetching.add(path.relative_to(ROOT).as_posix())
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            given = {each.arg: ast.unparse(each.value) for each in node.keywords}
            assert called not in ("eval", "exec", "os.system", "os.popen"), where
            assert given.get("shell", "False") == "False", where
            assert given.get("allow_pickle", "False") == "False", where
            if called == "torch.load":
                assert given.get("weights_only") == "True", where
    # The depth network looks for a copy in the hub's cache.
    assert fetching == {"rainkit/weights/fetching.py", "rainkit/depth/network.py"}
    page = (ROOT / ".github" / "SECURITY.md").read_text(encoding="utf-8")
    for promised in ("weights_only=True", "rainkit weights get", "never overwritten"):
        assert promised in page
