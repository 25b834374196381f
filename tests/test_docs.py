"""What the documents say is so: commands and options exist, help texts and links are right."""

from __future__ import annotations

import ast
import importlib.util
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer

from rainkit.cli import app

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob(".github/*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("plugins/*/README.md"),
    ]
)
COMMANDS = ROOT / "docs" / "commands"
PLUGIN_PAGE = ROOT / "docs" / "plugin-authors.md"
COMMAND = typer.main.get_command(app)

BLOCK = re.compile(r"^```(\w+)(?: title=\"(.+?)\")?\n(.*?)^```$", re.DOTALL | re.MULTILINE)
HELP = re.compile(r"<!-- help:.*?<!-- /help -->", re.DOTALL)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def blocks(page: Path, *languages: str) -> list[tuple[str, str]]:
    """Titles and texts of a page's code blocks, but for help texts."""
    text = HELP.sub("", page.read_text(encoding="utf-8"))
    return [(found[2], found[3]) for found in BLOCK.finditer(text) if found[1] in languages]


def commands(page: Path, program: str) -> list[list[str]]:
    """Arguments of each line of a page that runs a program, in blocks or between backticks."""
    lines = [line for _, text in blocks(page, "console") for line in text.splitlines()]
    lines = [line.removeprefix("$ ") for line in lines]
    lines += re.findall(r"`([^`\n]+)`", HELP.sub("", page.read_text(encoding="utf-8")))
    words = [shlex.split(line, comments=True) for line in lines if line.startswith(f"{program} ")]
    return [rest for _, *rest in words]


def test_pages_are_found():
    names = {page.name for page in PAGES}
    assert {"README.md", "CHANGELOG.md", "guide.md", "plugin-authors.md"} <= names


def test_help_texts_are_the_real_ones():
    script = [sys.executable, ROOT / "docs" / "help_texts.py", "--check"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_an_old_help_text_is_noticed(tmp_path: Path):
    script, page = tmp_path / "help_texts.py", tmp_path / "infer.md"
    script.write_text((ROOT / "docs" / script.name).read_text(encoding="utf-8"))
    guide = (COMMANDS / page.name).read_text(encoding="utf-8")
    (right,) = re.findall(r"<!-- help: infer -->.*?<!-- /help -->", guide, re.DOTALL)
    page.write_text(f"Before.\n\n{right.replace('--overwrite', '--replace')}\n\nAfter.\n")
    done = subprocess.run(
        [sys.executable, script, "--check"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "rainkit infer --help" in done.stdout
    assert "--replace" in page.read_text(), "a check changes nothing"
    subprocess.run([sys.executable, script], capture_output=True, check=True)
    renewed = page.read_text()
    assert renewed.startswith("Before.\n\n<!-- help: infer -->")
    assert renewed.endswith("<!-- /help -->\n\nAfter.\n")
    assert "--overwrite" in renewed
    assert "--replace" not in renewed


def test_every_command_has_its_help_on_its_page():
    for name, command in COMMAND.commands.items():
        told = re.findall(r"<!-- help: (.+?) -->", (COMMANDS / f"{name}.md").read_text())
        below = [f"{name} {each}" for each in getattr(command, "commands", {})]
        assert sorted(told) == sorted([name, *below])


@pages
def test_rainkit_commands_exist(page: Path):
    for words in commands(page, "rainkit"):
        command = COMMAND
        rest = list(words)
        while rest and rest[0] in getattr(command, "commands", {}):
            command = command.commands[rest.pop(0)]
        known = {option for p in command.params for option in (*p.opts, *p.secondary_opts)}
        known |= {"--help", "-h"}
        wrong = [word for word in rest if word.startswith("-") and word not in known]
        assert not wrong, f"rainkit {shlex.join(words)}: no option {wrong}"
        verb = rest[:1] if getattr(command, "commands", {}) else []
        assert not [v for v in verb if not v.startswith("-")], f"no command rainkit {verb}"


ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
INSTALLS = re.compile(r"pip install ([^\n`#|,;]+)")


def test_the_install_line_of_the_readme_brings_all_methods_of_the_extra_all():
    page = ROOT / "README.md"
    (line,) = [
        line
        for _, text in blocks(page, "console")
        for line in text.replace("\\\n", " ").splitlines()
        if "pip install . " in line
    ]
    named = {Path(word).name for word in shlex.split(line) if "plugins/" in word}
    wanted = {re.split(r"[<>=]", each)[0] for each in ABOUT["optional-dependencies"]["all"]}
    assert named == wanted
    assert all((ROOT / "plugins" / name / "pyproject.toml").is_file() for name in named)


@pytest.mark.parametrize(
    "path",
    [*PAGES, *sorted((ROOT / "rainkit").rglob("*.py")), *(ROOT / "rainkit").rglob("*.tmpl")],
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_no_package_is_to_be_installed_that_is_not_there_yet(path: Path):
    """Ours are not published yet: they come from a folder."""
    if path.name in ("CHANGELOG.md", "releasing.md"):
        return
    for found in INSTALLS.finditer(path.read_text(encoding="utf-8")):
        words = found[1].replace("$$", "$").split()
        ours = [word for word in words if re.match(r"[\"']?rainkit\b", word)]
        editable = [word for word, before in zip(words[1:], words, strict=False) if before == "-e"]
        assert not set(ours) - set(editable), found[0]


@pages
def test_make_targets_exist(page: Path):
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", makefile, re.MULTILINE))
    variables = set(re.findall(r"^([A-Z]+) [?:]?=", makefile, re.MULTILINE))
    for words in commands(page, "make"):
        for word in words:
            name, assigns, _ = word.partition("=")
            assert name in (variables if assigns else targets), f"make {word}"


@pages
def test_links_lead_somewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+://", target):
            continue
        path, _, anchor = target.partition("#")
        file = page if not path else (page.parent / path).resolve()
        assert file.exists(), f"{page.name} links to {target}"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in headings]
            assert anchor in slugs, f"{page.name} links to {target}"


@pages
def test_python_compiles(page: Path):
    for title, text in blocks(page, "python"):
        code = text if title or not text.startswith("weights=") else f"dict({text})"
        ast.parse(code, filename=f"{page.name} {title}")


LOOKING = ROOT / "docs" / "development.md"


def _places(cell: str) -> list[Path]:
    """Files and folders that a cell of the table names; a bare name lies beside the one before."""
    found: list[Path] = []
    for name in re.findall(r"`([\w./*-]+(?:\.(?:py|yml|\*)|/))`", cell):
        homes = [ROOT / "rainkit", ROOT, *(place.parent for place in found), *found]
        place = next((h / name for h in homes if list(h.glob(name.rstrip("/")))), None)
        if place is None and re.search(rf"each plugin's `{re.escape(name)}`", cell):
            place = ROOT / "plugins" / "rainkit-granet" / "rainkit_granet" / name
        assert place is not None, f"docs/development.md names {name}, which is nowhere"
        found.append(place)
    return found


def _table() -> dict[str, list[Path]]:
    """Rows of the tables of docs/development.md: what is looked for, and where it is."""
    rows = re.findall(r"^\| (.+?) \| (.+) \|$", LOOKING.read_text(encoding="utf-8"), re.MULTILINE)
    return {what: _places(f"{what} {where}") for what, where in rows}


def test_every_place_of_the_map_exists():
    assert len([place for places in _table().values() for place in places]) > 50


QUESTIONS = {
    "the formula of PSNR": ("PSNR", "psnr_ssim.py", "def psnr("),
    "a new dataset layout, to read": ("dataset layout", "readers", "def "),
    "a new dataset layout, to write": ("dataset layout", "writers", "class "),
    "a new loss": ("a loss", "losses.py", "def "),
    "another execution backend": ("`--backend`", "execute.py", "def attach("),
    "the halo of tiles": ("halo", "tiles.py", "halo: int"),
    "where a streak is drawn": ("streak is drawn", "streaks.py", "def "),
    "where a checkpoint is written": ("checkpoints", "checkpointing.py", "def save|class "),
    "how infer names its outputs": ("names of derained", "outputs.py", "stem"),
    "videos as input": ("videos of `infer`", "containers.py", "def |class "),
    "the page of eval": ("page of an evaluation", "page.py", "def "),
    "--resume": ("`--resume`", "run_config.py", "def reopen"),
    "which clean picture belongs to a rainy one": ("rainy one", "pairing.py", "def "),
    "bfloat16": ("bfloat16", "precision.py", "bf16"),
    "Ray": ("distribute work", "ray_cluster.py", "import ray"),
    "exit codes": ("exit codes", "errors.py", "exit_code = 2"),
    "where settings come from": ("settings, their file", "config.py", "def settings("),
    "what rainkit methods says": ("`rainkit methods` says", "overview.py", "good_at"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_map_answers_what_newcomers_ask(question: str):
    phrase, name, told = QUESTIONS[question]
    (places,) = [places for what, places in _table().items() if phrase in what]
    place = next(each for each in places if each.name == name)
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    text = "".join(each.read_text(encoding="utf-8") for each in files)
    assert any(each in text for each in told.split("|")), f"{place} holds no {told}"


def test_troubleshooting_quotes_messages_as_they_are():
    """A heading in backticks quotes a message; … stands for what differs."""
    page = ROOT / "docs" / "troubleshooting.md"
    quoted = re.findall(r"^### `(.+)`", page.read_text(encoding="utf-8"), re.MULTILINE)
    texts = "\n".join(
        node.value
        for module in (ROOT / "rainkit").rglob("*.py")
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    )
    of_others = {
        "libGL.so.1: cannot open shared object file",
        "python3 -m venv",
        "error: externally-managed-environment",
    }
    parts = [part.strip() for each in quoted for part in each.split("…") if each not in of_others]
    assert len(parts) > 20
    assert not [part for part in parts if part not in texts]


@pytest.fixture(scope="module")
def figures() -> Any:
    """docs/figures.py, which draws the figures of the pages."""
    path = ROOT / "docs" / "figures.py"
    spec = importlib.util.spec_from_file_location("figures_of_docs", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_figures_of_networks_are_those_that_are_drawn(figures: Any):
    folder = ROOT / "docs" / "images" / "networks"
    assert {path.stem for path in folder.glob("*.svg")} == set(figures.NETWORKS)
    for name, draw in figures.NETWORKS.items():
        assert (folder / f"{name}.svg").read_text(encoding="utf-8") == draw().svg()


def test_figures_of_networks_are_those_of_methods(figures: Any):
    plugins = {path.name.removeprefix("rainkit-") for path in ROOT.glob("plugins/rainkit-*")}
    assert set(figures.NETWORKS) <= plugins


def test_figures_may_take_on_the_colours_of_a_page(figures: Any):
    style = (ROOT / "docs" / "stylesheets" / "site.css").read_text(encoding="utf-8")
    assert {f"--figure-{name}" for name in figures.COLOURS} == set(
        re.findall(r"--figure-\w+", style)
    )
    for path in ROOT.glob("docs/images/*/*.svg"):
        drawn = path.read_text(encoding="utf-8")
        assert "<title>" in drawn
        assert not re.findall(r"(?<!, )#[0-9a-f]{6}(?![\w)])", drawn), (
            f"{path.name}: a fixed colour"
        )


@pages
def test_pages_load_nothing_from_elsewhere(page: Path):
    text = page.read_text(encoding="utf-8")
    assert not re.findall(r"!\[[^\]]*\]\((?:https?:)?//|<(?:script|iframe|img)\b", text)


def test_the_site_shows_every_option_and_every_card():
    pytest.importorskip("mkdocs", reason="the site needs rainkit[docs]")
    path = ROOT / "docs" / "hooks.py"
    spec = importlib.util.spec_from_file_location("hooks_of_docs", path)
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    (printed,) = hooks.BLOCK.finditer((COMMANDS / "infer.md").read_text(encoding="utf-8"))
    shown = hooks.with_options(printed)
    for parameter in COMMAND.commands["infer"].params:
        for name in parameter.opts:
            assert name == "--help" or f"<code>{name}</code>" in shown or name[0] != "-"
    assert shown.count("<dt") > 20
    pages_of_methods = hooks.method_pages()
    assert set(pages_of_methods) >= {"methods/README.md", "methods/granet.md"}
    granet = pages_of_methods["methods/granet.md"]
    for part in (
        "What the paper leaves open",
        "not measured by us",
        "network.width",
        "@misc{yu2019",
    ):
        assert part in granet
    moved = hooks.relinked("[a](../examples/demo/demo.py) and [b](../README.md#methods)", "")
    assert moved == "[a](files/examples/demo/demo.py.md) and [b](methods/README.md)"
    linked = re.findall(r"\]\(([\w/.-]+\.md)", hooks.changes())
    assert linked, "the page of changes links to other pages"
    assert all((ROOT / "docs" / each).is_file() for each in linked)
