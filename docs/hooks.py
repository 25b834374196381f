"""What MkDocs does with the pages of docs/ beyond showing them; mkdocs.yml names this file.

- A page for each method is composed of its model card, its figure, and what its descriptor says.
- Options of commands become lists, out of the commands themselves.
- Links to files of the repository that lie outside of docs/ lead to pages that show them.
- Figures (SVG) are put into the pages, so that they take on the colours of light and dark.
- A page that would load anything from another host fails the build.
"""

from __future__ import annotations

import html
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mkdocs.plugins import get_plugin_logger
from mkdocs.structure.files import File, Files

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

    from rainkit.api import Method, Paper

DOCS = Path(__file__).parent
ROOT = DOCS.parent
sys.path.insert(0, str(DOCS))

from help_texts import BLOCK, COMMAND  # noqa: E402 - a neighbour, not a package

log = get_plugin_logger(__name__)

LINK = re.compile(r"(?<=\]\()([^)\s#]+)?(#[^)\s]*)?(?=\))")
FENCED = re.compile(r"^(```|~~~).*?^\1\s*$", re.DOTALL | re.MULTILINE)
FIGURE = re.compile(r"^!\[([^\]]*)\]\(([^)\s]+\.svg)\)$", re.MULTILINE)
LOADED = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc=["']?(?:https?:)?//[^"'> ]+"""
    r"""|<link\b(?=[^>]*\brel=["']?(?:stylesheet|icon|preload|preconnect|modulepreload))"""
    r"""[^>]*?\bhref=["']?(?:https?:)?//[^"'> ]+"""
)
DOCTEST = re.compile(r"(?:<blockquote>\s*){3}<p>(.*?)</p>\s*(?:</blockquote>\s*){3}", re.DOTALL)
"""What Markdown makes of the prompts of a docstring's example."""

README_ANCHORS = {
    "#a-smaller-torch": ("quick-start.md", "#a-smaller-torch"),
    "#methods": ("methods/README.md", ""),
}
LANGUAGES = {".py": "python", ".toml": "toml", ".sh": "bash", ".json": "json", ".yml": "yaml"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of methods, of changes, and of the repository's files that pages name."""
    for name, text in {**method_pages(), "changelog.md": changes()}.items():
        files.append(File.generated(config, name, content=text))
    for path in sorted(named_outside(files)):
        files.append(File.generated(config, shown_at(path), content=shown(path)))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Put options, figures and links in the place of what the repository's own viewers show."""
    markdown = BLOCK.sub(with_options, markdown)
    markdown = relinked(markdown, posixpath.dirname(page.file.src_uri))
    return FIGURE.sub(lambda found: inlined(found, page), markdown)


def on_page_content(content: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Show docstrings without the marks of Sphinx."""
    if not page.file.src_uri.startswith("api/"):
        return content
    content = DOCTEST.sub(
        lambda found: f"<pre><code>{found[1].replace(' # doctest: +SKIP', '')}</code></pre>",
        content,
    )
    content = re.sub(r":(?:class|func|meth|mod|data|attr|exc):(?=<code)", "", content)
    return re.sub(r"::(?=</p>)", ":", content)


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Warn, and so fail, if a page would load anything from another host."""
    for found in LOADED.finditer(output):
        log.warning("%s loads something from another host: %s", page.file.src_uri, found[0])
    return output


# Methods


def method_pages() -> dict[str, str]:
    """Return the pages of all methods of this repository, and their list, by their addresses."""
    from rainkit import plugins

    pages, rows = {}, []
    for installed in plugins.installed():
        card = ROOT / "plugins" / f"rainkit-{installed.name}" / "README.md"
        if not card.is_file():
            continue
        method = plugins.get(installed.name)
        pages[f"methods/{method.name}.md"] = method_page(method, card.read_text(encoding="utf-8"))
        rows.append((method, f"{method.name}.md"))
    pages["methods/README.md"] = methods_list(rows)
    return pages


def methods_list(rows: list[tuple[Method, str]]) -> str:
    """Return the page that lists the methods."""
    from rainkit.render.text_tables import markdown as table

    cells = [
        (
            f"[`{method.name}`]({page})",
            method.good_at or method.summary,
            cited(method.paper),
            ", ".join(f"`{each.tag}`" for each in method.weights) or "none",
        )
        for method, page in rows
    ]
    lines = table(("method", "good at", "paper", "weights"), cells, texts=4)
    return (
        "# Methods\n\nEach method is the network of a paper, in a package of its own. We built "
        "them from the papers; each page says what the paper leaves open and what we chose. "
        "[What they cost and give](../results.md) compares them, and "
        "[which method for which picture](../benchmarks/choice.md) says how `--method auto` "
        "chooses.\n\n" + "\n".join(lines) + "\n"
    )


def method_page(method: Method, card: str) -> str:
    """Return the page of a method: its card, figure, published tables, settings and citation."""
    card = re.sub(r"\A# .*\n+", "", card)
    card = re.sub(r"\n+Apache-2\.0, see LICENSE\.\s*\Z", "\n", card)
    intro, mark, rest = card.partition("\n## ")
    name = method.paper.title
    figure = f"images/networks/{method.name}.svg"
    drawn = ""
    if (DOCS / figure).is_file():
        drawn = (
            f"\n![The network of {method.title}](../../docs/{figure})\n\n"
            f"*The network as rainkit builds it, drawn by us after the code. The paper is "
            f"“{name}”.*\n"
        )
    text = f"# {method.title}\n\n{intro.strip()}\n{drawn}{mark}{rest.rstrip()}\n"
    text = relocated_links(text, f"plugins/rainkit-{method.name}")
    if method.objective is None:  # a method that takes finished networks of other programs
        return text
    return "\n".join([text, *published(method), *settings(method), *citation(method.paper)])


def published(method: Method) -> Iterator[str]:
    """Yield what the paper prints, with its rivals."""
    from rainkit.published import paper_tables
    from rainkit.render.text_tables import markdown as table

    tables = paper_tables(method, rivals=True)
    if not tables:
        return
    yield "## Published in the paper, not measured by us\n"
    for each in tables:
        yield f"### {each.table.title}\n"
        yield from table(each.table.columns, each.table.rows, texts=len(each.texts) or 1)
        yield ""
        yield from (f"Note: {note}.\n" for note in each.notes)


def settings(method: Method) -> Iterator[str]:
    """Yield a table of the hyperparameters."""
    from rainkit import hyperparameters
    from rainkit.render.text_tables import markdown as table

    yield "## Settings\n"
    yield (
        f"`rainkit train -m {method.name} --set NAME=VALUE` changes them; those of `training` are "
        "common to all methods, with this method's defaults.\n"
    )
    rows = [
        (f"`{row.path}`", f"`{told(row.default)}`", f"{row.type} {row.bounds}".strip(), row.doc)
        for row in hyperparameters.describe(method.default)
    ]
    yield from table(("setting", "default", "takes", "meaning"), rows, texts=4)
    yield ""


def told(value: Any) -> str:
    """Return a default as the command line takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | tuple):
        return ", ".join(map(told, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def cited(paper: Paper) -> str:
    """Return a paper in one line."""
    first = paper.authors[0].split()[-1] if paper.authors else ""
    who = {0: "", 1: first}.get(len(paper.authors), f"{first} et al.")
    title = f"[{paper.title}](https://doi.org/{paper.doi})" if paper.doi else paper.title
    place = " ".join(str(each) for each in (paper.venue, paper.year) if each)
    return ", ".join(filter(None, (who, title, place)))


def citation(paper: Paper) -> Iterator[str]:
    """Yield the citation in BibTeX."""
    if not paper.authors:
        return
    first = re.sub(r"\W", "", paper.authors[0].split()[-1]).lower()
    fields = {
        "author": " and ".join(paper.authors),
        "title": f"{{{paper.title}}}",
        "howpublished": paper.venue,
        "year": paper.year,
        "doi": paper.doi,
    }
    yield "## Citation\n\nIf you use the method, cite its paper:\n"
    yield f"```bibtex\n@misc{{{first}{paper.year or ''},"
    yield ",\n".join(f"  {key} = {{{value}}}" for key, value in fields.items() if value)
    yield "}\n```\n"


# Options


ENTRY = re.compile(r"^  (?P<names>\S.*?)(?:\s{2,}(?P<text>\S.*))?$")


def with_options(found: re.Match[str]) -> str:
    """Return what stands in the place of a printed help."""
    return options(found["command"], found[0].removeprefix(found[1]).removesuffix(found[3]))


def options(command: str, printed: str) -> str:
    """Return the options of a command as lists, and its printed help, folded."""
    node: Any = COMMAND
    for word in command.split():
        node = node.commands[word]
    panel_of = {
        name: getattr(each, "rich_help_panel", None) for each in node.params for name in each.opts
    }
    printed = printed.strip()
    panels: dict[str, list[str]] = {}
    for section, names, text in entries(printed):
        if "--help" in names:
            continue
        first = re.search(r"--?[\w-]+", names) if section == "Options" else None
        panel = (panel_of.get(first[0]) if first else None) or section
        if section == "Commands":  # whose help is cut after a line
            text = " ".join((node.commands[names].help or text).split("\n\n")[0].split())
        panels.setdefault(panel, []).append(entry(command, section, names, text))
    lines = [
        f"<p class='panel'>{html.escape(panel)}</p>\n<dl class='options'>{''.join(rows)}</dl>"
        for panel, rows in panels.items()
    ]
    folded = printed.replace("\n", "\n    ")
    lines.append(f'??? note "As `rainkit {command} --help` prints it"\n\n    {folded}')
    return "\n\n".join(lines) + "\n"


def entries(printed: str) -> list[tuple[str, str, str]]:
    """Return the entries of a printed help: section, names, and what is said of them."""
    found: list[tuple[str, str, str]] = []
    section = ""
    for line in printed.splitlines():
        if title := re.fullmatch(r"(Arguments|Options|Commands):", line):
            section = title[1]
        elif section and (begun := ENTRY.match(line)):
            found.append((section, begun["names"], begun["text"] or ""))
        elif section and found and line.startswith("   "):
            _, names, text = found[-1]
            found[-1] = (section, names, f"{text} {line.strip()}".strip())
    return found


def entry(command: str, section: str, names: str, text: str) -> str:
    """Return an option, an argument or a subcommand as an entry of a definition list."""
    text = html.escape(text)
    text = re.sub(
        r"\s*\[((?:default:|required|env var:|[^\[\]]*&lt;=?x|x&gt;).*?)\]$", r" <em>\1</em>", text
    )
    text = re.sub(r"(?<![\w-])(--[a-z][\w-]*)", r"<code>\1</code>", text)
    if section == "Arguments":
        names = re.sub(r" <list\[.*|  *<\w+>", "", names)
        return f"<dt><var>{html.escape(names)}</var></dt><dd>{text}</dd>"
    if section == "Commands":
        link = f"#rainkit-{command}-{names}".replace(" ", "-")
        return f"<dt><a href='{link}'><code>{names}</code></a></dt><dd>{text}</dd>"
    flags = re.match(r"(?:-{1,2}[\w-]+(?:, | / |$)?)+", names)
    end = flags.end() if flags else len(names)
    words = re.findall(r"-{1,2}[\w-]+", names[:end])
    words.sort(key=lambda name: not name.startswith("--"))
    anchor = f"{command}-{words[0].lstrip('-')}".replace(" ", "-")
    head = ", ".join(f"<code>{word}</code>" for word in words)
    if takes := names[end:].strip():
        head += f" <var>{html.escape(takes)}</var>"
    return f"<dt id='{anchor}'>{head}</dt><dd>{text}</dd>"


# Links and files


def relocated_links(text: str, folder: str) -> str:
    """Return a text of another folder of the repository with links as from docs/methods/."""

    def changed(found: re.Match[str]) -> str:
        target, anchor = found[1], found[2] or ""
        if not target or re.match(r"[a-z]+:", target):
            return found[0]
        path = posixpath.normpath(posixpath.join(folder, target))
        return posixpath.relpath(path, "docs/methods") + anchor

    return outside_code(text, lambda part: LINK.sub(changed, part))


def relinked(text: str, folder: str) -> str:
    """Return a page with links to files outside of docs/ as links to the pages that show them."""

    def changed(found: re.Match[str]) -> str:
        target, anchor = found[1], found[2] or ""
        path = outside(target, folder)
        if path is None:
            return found[0]
        page = shown_at(path)
        if path == "README.md":
            page, anchor = README_ANCHORS.get(anchor, (page, ""))
        return posixpath.relpath(page, folder or ".") + anchor

    return outside_code(text, lambda part: LINK.sub(changed, part))


def outside_code(text: str, change: Any) -> str:
    """Return a text with a change to all of it but fenced code."""
    parts, end = [], 0
    for found in FENCED.finditer(text):
        parts += [change(text[end : found.start()]), found[0]]
        end = found.end()
    return "".join([*parts, change(text[end:])])


def outside(target: str | None, folder: str) -> str | None:
    """Return the path in the repository of a link that leaves docs/, or None."""
    if not target or re.match(r"[a-z]+:", target):
        return None
    path = posixpath.normpath(posixpath.join("docs", folder, target))
    if path.startswith("docs/methods/"):
        return None
    return None if path.startswith("docs/") else path


def shown_at(path: str) -> str:
    """Return the page that shows a file of the repository."""
    if path == "README.md":
        return "index.md"
    if path == "CHANGELOG.md":
        return "changelog.md"
    if card := re.fullmatch(r"plugins/rainkit-([\w-]+)/README\.md", path):
        return f"methods/{card[1]}.md"
    return f"files/{path}.md"


def named_outside(files: Files) -> set[str]:
    """Return the files of the repository that pages name and that no other page shows."""
    found = set()
    for file in files.documentation_pages():
        folder = posixpath.dirname(file.src_uri)
        text = FENCED.sub("", file.content_string)
        for link in LINK.finditer(text):
            path = outside(link[1], folder)
            if path and (ROOT / path).is_file() and shown_at(path).startswith("files/"):
                found.add(path)
    return found


def shown(path: str) -> str:
    """Return a page that shows a file of the repository."""
    text = (ROOT / path).read_text(encoding="utf-8")
    language = LANGUAGES.get(Path(path).suffix, "text")
    return (
        f"---\nsearch:\n  exclude: true\n---\n\n# {Path(path).name}\n\n"
        f"`{path}` of the repository:\n\n~~~~{language}\n{text}~~~~\n"
    )


def changes() -> str:
    """Return the page of changes, whose links into docs/ are those of a page there."""
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    return text.replace("](docs/", "](")


def inlined(found: re.Match[str], page: Page) -> str:
    """Return a figure as part of the page, so that it takes on the page's colours."""
    path = ROOT / posixpath.normpath(
        posixpath.join("docs", posixpath.dirname(page.file.src_uri), found[2])
    )
    if not path.is_file():
        return found[0]
    svg = re.sub(r"<\?xml.*?\?>|<!DOCTYPE.*?>", "", path.read_text(encoding="utf-8"), flags=re.S)
    svg = re.sub(r"\n\s*", " ", svg.strip())
    # Names within the figures of a page must differ.
    prefix = path.stem
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(href="#|url\(#)', rf"\1{prefix}-", svg)
    label = html.escape(found[1], quote=True)
    width = re.search(r'viewBox="0 0 ([\d.]+)', svg)
    drawn = f' style="--drawn: {width[1]}px"' if width else ""
    return f'<div class="figure" role="img" aria-label="{label}"{drawn} markdown="0">{svg}</div>'
