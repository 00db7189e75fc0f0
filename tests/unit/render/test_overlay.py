# SPDX-License-Identifier: Apache-2.0
"""An operator's templates over ours: what they add belongs to the object of the section; what is wrong names file and line."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builders import graph, resource, web
from octavia_amphora.wire.config import compose
from octavia_provider.model.graph import Graph
from octavia_provider.render import environment
from octavia_provider.render.environment import TemplateFault, Templates, shipped
from octavia_provider.render.haproxy import Placement, render
from octavia_provider.render.overlay import Overlay
from octavia_provider.render.rehearsal import rehearse

HERE = Placement(vips=("127.0.0.1",))
SECTIONS = {  # each block, with the owner of its lines
    ("global", "global"): None, ("defaults", "defaults"): None, ("metrics", "exporter"): None, ("metrics", "metrics"): None,
    ("listener", "frontend"): "web", ("listener", "bind"): "web", ("pool", "backend"): "pool", ("member", "server"): "m1",
}  # fmt: skip


def lay(folder: Path, template: str, text: str) -> Path:
    path = folder / "haproxy" / f"{template}.j2"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def extending(template: str, block: str, text: str) -> str:
    return f'{{% extends "octavia/haproxy/{template}.j2" %}}\n{{% block {block} %}}\n{text}\n{{% endblock %}}\n'


def everything() -> Graph:
    scraped = resource("listener", "scraped", protocol="PROMETHEUS", protocol_port=81)
    return graph(resource("listener", "web"), resource("pool", "pool"), resource("member", "m1"), scraped)


@pytest.mark.parametrize(("template", "block"), SECTIONS)
def test_a_block_of_each_section__its_lines_belong_to_the_object_of_the_section(
    template: str, block: str, tmp_path: Path
) -> None:
    lay(tmp_path, template, extending(template, block, "    option their-own"))
    rendered = render(everything(), HERE, Overlay(tmp_path).current())
    numbers = [n for n, line in enumerate(compose(rendered.configuration).splitlines(), 1) if "their-own" in line]
    also = {"scraped"} if template == "listener" else set()
    assert {rendered.owner(line=number) for number in numbers} == {SECTIONS[template, block], *also}
    number = numbers[0]
    assert rendered.template(number) == template
    assert rendered.laid_over(line=number) == str(tmp_path / "haproxy" / f"{template}.j2")
    assert rendered.laid_over(line=2) is None, "maxconn is ours"


def test_each_line_names_its_template() -> None:
    rendered = render(everything(), HERE)
    lines = compose(rendered.configuration).splitlines()
    found = {line.strip(): rendered.template(number) for number, line in enumerate(lines, start=1)}
    assert found["maxconn 100000"] == "global"
    assert found["retries 3"] == "defaults"
    assert found["http-request use-service prometheus-exporter"] == "metrics"
    assert found["timeout server 50000ms"] == "listener"
    assert found["option allbackups"] == "pool"
    assert next(t for line, t in found.items() if line.startswith("server m1")) == "member"
    assert rendered.laid_over(line=2) is None
    assert rendered.laid_over(proxy="web") is None


def test_a_section_of_their_own(tmp_path: Path) -> None:
    lay(tmp_path, "defaults", extending("defaults", "defaults", "\ncache theirs\n    max-age 60"))
    rendered = render(everything(), HERE, Overlay(tmp_path).current())
    number = compose(rendered.configuration).splitlines().index("    max-age 60") + 1
    assert (rendered.template(number), rendered.owner(line=number)) == ("defaults", None)


def test_a_whole_file_stands_in_place_of_ours(tmp_path: Path) -> None:
    lay(tmp_path, "defaults", "{% macro defaults(load_balancer) %}\ndefaults\n    retries 9\n{% endmacro %}\n")
    text = compose(render(web(), HERE, Overlay(tmp_path).current()).configuration)
    assert "retries 9" in text
    assert "option redispatch" not in text


def test_a_value_of_a_user_is_quoted_in_their_templates_too(tmp_path: Path) -> None:
    hostile = 'a b"\\ $HOME'
    named = graph(resource("listener", "web", name=hostile))
    lay(tmp_path, "listener", extending("listener", "frontend", "    log-tag {{ listener.name }}"))
    section = render(named, HERE, Overlay(tmp_path).current()).configuration.frontends["web"].text
    assert r'    log-tag "a b\"\\ \$HOME"' in section.splitlines()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (extending("listener", "frontend", "    a {{ listner.id }}"), ["line 3", "'listner' is undefined"]),
        (extending("listener", "frontend", "    a {{ listener.nmae }}"), ["line 3: listener has no attribute 'nmae'"]),
        (extending("listener", "frontend", "    a {{ listener.default_tls_container_ref }}"), ["line 3", "None"]),
        (extending("listener", "frontend", "    a {% if %}"), ["line 3"]),
        (extending("listener", "frontend", "    a {{ listener.id | nothing }}"), ["line 3", "nothing"]),
        (extending("listener", "frontend", "backend theirs"), ["indented", "backend theirs"]),
        ('{% extends "octavia/haproxy/listner.j2" %}', ["listner"]),
        ('{% extends "haproxy/listener.j2" %}', ["itself", "ours is octavia/haproxy/listener.j2"]),
        ("{% macro begin(listener, frontend) %}{% endmacro %}", ["has no macro end", "extends"]),
    ],
)
def test_what_is_wrong_names_file_and_line(text: str, words: list[str], tmp_path: Path) -> None:
    path = lay(tmp_path, "listener", text)
    with pytest.raises(TemplateFault) as error:
        Overlay(tmp_path).load()
    assert all(word in str(error.value) for word in [str(path), *words]), str(error.value)


def test_a_file_that_nothing_reads_is_refused__but_for_those_that_others_include(tmp_path: Path) -> None:
    lay(tmp_path, "_mine", "    option httplog\n")
    lay(tmp_path, "listener", extending("listener", "frontend", '{% include "haproxy/_mine.j2" %}'))
    text = compose(render(web(), HERE, Overlay(tmp_path).current()).configuration)
    assert "    option httplog\n" in text
    path = lay(tmp_path, "listner", "")
    with pytest.raises(TemplateFault, match=str(path)):
        Overlay(tmp_path).load()


@pytest.mark.parametrize("name", ["foo.txt", "haproxy/listener.txt", "other/listener.j2"])
def test_any_other_file_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("")
    with pytest.raises(
        TemplateFault, match=f"{path.parent if path.parent.name == 'other' else path}: replaces none of ours"
    ):
        Overlay(tmp_path).load()


@pytest.mark.parametrize(("name", "words"), [("listener.j2", "is a folder"), ("listener.d", "replaces none of ours")])
def test_a_folder_that_holds_no_templates_is_refused(name: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "haproxy" / name
    path.mkdir(parents=True)
    with pytest.raises(TemplateFault, match=f"{path}: {words}"):
        Overlay(tmp_path).load()


def test_a_link_to_nowhere_is_named(tmp_path: Path) -> None:
    path = lay(tmp_path, "listener", "")
    path.unlink()
    path.symlink_to(tmp_path / "nowhere")
    with pytest.raises(TemplateFault, match=f"template {path}: cannot be read: No such file"):
        Overlay(tmp_path).load()


def test_what_editors_and_version_control_leave_is_no_template(tmp_path: Path) -> None:
    for name in (".git/config", "haproxy/.listener.j2.swp", "haproxy/listener.j2~"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("")
    Overlay(tmp_path).load()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(TemplateFault, match=str(tmp_path / "none")):
        Overlay(tmp_path / "none").load()


def test_a_change_is_taken_at_the_next_rendering__and_one_that_is_no_good_is_not(tmp_path: Path) -> None:
    overlay = Overlay(tmp_path)
    first = overlay.current()
    assert overlay.current() is first
    lay(tmp_path, "listener", extending("listener", "frontend", "    option one"))
    second = overlay.current()
    assert "option one" in compose(render(web(), HERE, second).configuration)
    lay(tmp_path, "listener", extending("listener", "frontend", "    option {{ nobody }}"))
    assert overlay.current() is second
    lay(tmp_path, "listener", extending("listener", "frontend", "    option three"))
    assert "option three" in compose(render(web(), HERE, overlay.current()).configuration)


def test_without_a_folder_ours_are_used_alone() -> None:
    assert Overlay().current() is Overlay().load() is shipped()


def test_the_rehearsal_calls_every_macro_of_ours() -> None:
    templates = Templates()
    rehearse(templates)
    called = {f"haproxy/{template}.j2" for template, _ in templates._macros}
    assert called | {"haproxy/tls.j2"} == set(templates.names())


HOW_TO = Path(__file__).parents[3] / "docs" / "how-to" / "templates.md"
OURS = Path(environment.__file__).parent / "templates"


def test_the_how_to_lists_every_block_that_there_is() -> None:
    told = re.findall(r"^\| `(haproxy/\w+\.j2)` \| (.+?) \|", HOW_TO.read_text(), re.MULTILINE)
    there = {
        (path.relative_to(OURS).as_posix(), block)
        for path in OURS.rglob("*.j2")
        for block in re.findall(r"{% block (\w+) scoped %}", path.read_text())
    }
    assert {(name, block) for name, blocks in told for block in re.findall(r"\w+", blocks)} == there
    assert there == {(f"haproxy/{template}.j2", block) for template, block in SECTIONS}


def test_the_example_of_the_how_to_works(tmp_path: Path) -> None:
    (example,) = re.findall(r"```jinja\n(.*?)```", HOW_TO.read_text(), re.DOTALL)
    lay(tmp_path, "listener", example)
    public = graph(resource("listener", "web", name="shop", tags=("public",)))
    templates = Overlay(tmp_path).load()
    assert "    http-response set-header X-Served-By shop\n" in compose(render(public, HERE, templates).configuration)
    assert "X-Served-By" not in compose(render(web(), HERE, templates).configuration)
