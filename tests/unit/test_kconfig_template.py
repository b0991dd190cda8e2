# SPDX-License-Identifier: GPL-2.0-only
"""A rendered line knows the file and line it was written at, whatever jinja did in between."""

from __future__ import annotations

import textwrap
from pathlib import Path

import pytest

from sku_build.errors import UserError
from sku_build.kconfig.template import TemplateVersion, render
from sku_build.version import KernelVersion


def write(directory: Path, **fragments: str) -> Path:
    configs = directory / "configs"
    configs.mkdir(exist_ok=True)
    for name, text in fragments.items():
        (configs / f"{name}.config.j2").write_text(text, encoding="utf-8")
    return configs


def dedent(text: str) -> str:
    return textwrap.dedent(text).removeprefix("\n")


def rendered(directory: Path, name: str = "main", **context: object) -> list[tuple[str, str]]:
    lines = render(name, directory, context)
    return [(line.text, str(line.place).removeprefix("configs/")) for line in lines]


def test_lines_keep_their_place_under_if_and_for(tmp_path: Path) -> None:
    configs = write(
        tmp_path,
        main=dedent("""
        CONFIG_A=y
        {# a comment
           of two lines with CONFIG_NOT=y #}
        {% if off %}
        CONFIG_B=y
        {% else %}
          CONFIG_C=y
        {% endif %}
        {% for name in ("D", "E") %}

        CONFIG_{{ name }}={{ 1 + 1 }}
        {% endfor %}
        # CONFIG_F is not set
        """),
    )
    assert rendered(configs, off=False) == [
        ("CONFIG_A=y", "main.config.j2:1"),
        ("CONFIG_C=y", "main.config.j2:7"),
        ("CONFIG_D=2", "main.config.j2:11"),
        ("CONFIG_E=2", "main.config.j2:11"),
        ("# CONFIG_F is not set", "main.config.j2:13"),
    ]


def test_lines_of_includes_and_macros_name_the_file_they_stand_in(tmp_path: Path) -> None:
    configs = write(
        tmp_path,
        main=dedent("""
        {% from "part.config.j2" import driver %}
        CONFIG_A=y
        {% include "part.config.j2" %}
        CONFIG_B=y
        {{ driver("NET") }}
        CONFIG_C=y
        """),
        part=dedent("""
        {% macro driver(name) %}
        CONFIG_{{ name }}=y
        CONFIG_{{ name }}_DRIVER=y
        {% endmacro %}

        CONFIG_P=y
        """),
    )
    assert rendered(configs) == [
        ("CONFIG_A=y", "main.config.j2:2"),
        ("CONFIG_P=y", "part.config.j2:6"),
        ("CONFIG_B=y", "main.config.j2:4"),
        ("CONFIG_NET=y", "part.config.j2:2"),
        ("CONFIG_NET_DRIVER=y", "part.config.j2:3"),
        ("CONFIG_C=y", "main.config.j2:6"),
    ]


def test_lines_made_by_expressions_and_cut_by_whitespace_control_keep_their_place(
    tmp_path: Path,
) -> None:
    configs = write(
        tmp_path,
        main=dedent("""
        CONFIG_A=y
        {{ "CONFIG_B=y\\nCONFIG_C=y" }}
        {%- if true %}

        CONFIG_D=y
        {%- endif %}

        CONFIG_E={% if true %}y{% else %}n{% endif %} # waiver: because
        CONFIG_{% if true %}F{% endif %}=y
        CONFIG_G=
        {%- if true %}
        2
        {%- endif %}
        """),
    )
    assert rendered(configs) == [
        ("CONFIG_A=y", "main.config.j2:1"),
        ("CONFIG_B=y", "main.config.j2:2"),
        ("CONFIG_C=y", "main.config.j2:2"),
        ("CONFIG_D=y", "main.config.j2:5"),
        ("CONFIG_E=y # waiver: because", "main.config.j2:8"),
        ("CONFIG_F=y", "main.config.j2:9"),
        ("CONFIG_G=2", "main.config.j2:10"),
    ]


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("CONFIG_A=y\n{% if x %}\nCONFIG_B=y\n", 3, "endif"),
        ("CONFIG_A=y\n\n{% frobnicate %}\n", 3, "frobnicate"),
        ("CONFIG_A=y\n\nCONFIG_B={{ bord.name }}\n", 3, "'bord' is undefined"),
        ("{% if true %}\n{% if missing %}\n{% endif %}{% endif %}", 2, "'missing' is undefined"),
        ("\n{{ 1 // 0 }}\n", 2, "zero"),
        ('\n\n{% if version < "six" %}{% endif %}\n', 3, "not a kernel version"),
        ("CONFIG_A=y\n{{ known.unknown }}\n", 2, "has no attribute 'unknown'"),
    ],
)
def test_errors_of_a_template_name_file_and_line(
    tmp_path: Path, text: str, line: int, said: str
) -> None:
    configs = write(tmp_path, main=text)
    version = TemplateVersion(KernelVersion.parse("6.1"))
    with pytest.raises(UserError, match=said) as caught:
        render("main", configs, {"version": version, "known": {}})
    assert caught.value.where == f"configs/main.config.j2:{line}"


def test_errors_in_an_included_template_name_that_template(tmp_path: Path) -> None:
    configs = write(
        tmp_path,
        main='\n{% include "syntax.config.j2" %}',
        other='\n{% include "undefined.config.j2" %}',
        syntax="\n\n{% if %}",
        undefined="\n{{ nope }}",
    )
    for name, place in (("main", "syntax.config.j2:3"), ("other", "undefined.config.j2:2")):
        with pytest.raises(UserError) as caught:
            render(name, configs, {})
        assert caught.value.where == f"configs/{place}"


def test_unknown_fragment_is_told_the_nearest(tmp_path: Path) -> None:
    configs = write(tmp_path, network="", main='\n{% include "netwrk.config.j2" %}')
    with pytest.raises(UserError, match="'netwok'") as caught:
        render("netwok", configs, {})
    assert caught.value.hint == "did you mean network?"
    with pytest.raises(UserError, match="'netwrk'") as caught:
        render("main", configs, {})
    assert caught.value.where == "configs/main.config.j2:2"


def test_versions_compare_with_text_as_versions(tmp_path: Path) -> None:
    configs = write(
        tmp_path,
        main=dedent("""
        {% if version >= "6.2" %}
        CONFIG_A=y
        {% endif %}
        {% if "6.12.117" == version and version < kernel("7.0") and version != "6.12" %}
        CONFIG_B=y
        {% endif %}
        """),
    )
    version = TemplateVersion(KernelVersion.parse("6.12.117"))
    lines = rendered(configs, version=version, kernel=KernelVersion.parse)
    assert [text for text, _ in lines] == ["CONFIG_A=y", "CONFIG_B=y"]
