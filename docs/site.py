"""What mkdocs does with the documents: the order of the pages, the reference from the schema, links out of docs/."""

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
GROUPS = {
    "Start": ["index.md", "tutorial.md", "troubleshooting.md"],
    "How to": [],
    "Reference": ["reference.md", "metrics.md", "design.md"],
}
"""Pages that no group names are how-to pages."""
BACK = re.compile(r"\[([^\]]+)\]\((?:\.\./)([^)\s]*)\)")


def on_config(config: Any) -> Any:
    named = {page for pages in GROUPS.values() for page in pages}
    others = sorted(path.name for path in (ROOT / "docs").glob("*.md") if path.name not in named)
    config.nav = [{group: pages or others} for group, pages in GROUPS.items()]
    return config


def on_files(files: Any, config: Any) -> Any:
    from mkdocs.structure.files import File

    schema = json.loads((ROOT / "tav/params.schema.json").read_text(encoding="utf-8"))
    files.append(File.generated(config, "reference.md", content=reference(schema)))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Links to files of the repository, which the site has not, become their names."""
    return BACK.sub(lambda link: link[1] if link[2] in link[1] else f"{link[1]} (`{link[2]}`)", markdown)


def reference(schema: dict[str, Any]) -> str:
    """Every setting of params.yaml as a page: a heading a section, a row a knob."""
    kinds, parts = schema["$defs"], [HEAD]
    for name, section in schema["properties"].items():
        own = section.get("additionalProperties") or section
        known = section if "properties" in own else _followed(section, kinds)
        parts.append(f"## {name}\n\n{section.get('description') or known.get('description', '')}\n")
        if values := _table_of(section):
            parts.append(f"Each has:\n\n{_table(kinds[values]['properties'], kinds)}")
        elif known.get("properties"):
            parts.append(_table(known["properties"], kinds))
    return "\n".join(parts)


HEAD = """# Every setting

Made from the types in `tav/params`, as is the schema by which an editor explains them. A default stands where
params.yaml may leave the setting out.
"""


def _followed(schema: dict[str, Any], kinds: dict[str, Any]) -> dict[str, Any]:
    names = re.findall(r'"#/\$defs/(\w+)"', json.dumps(schema))
    return kinds[names[0]] if names else schema


def _table_of(section: dict[str, Any]) -> str | None:
    """The type of a section's entries, where it is a table of named ones."""
    found = re.findall(r'"#/\$defs/(\w+)"', json.dumps(section.get("patternProperties", {})))
    return found[0] if found else None


def _table(knobs: dict[str, Any], kinds: dict[str, Any]) -> str:
    rows = ["| setting | what it may be | default | |", "| --- | --- | --- | --- |"]
    for name, knob in knobs.items():
        default = f"`{json.dumps(knob['default'])}`" if "default" in knob else ""
        text = " ".join(knob.get("description", "").split()).replace("|", "\\|")
        rows.append(f"| `{name}` | {_kind(knob, kinds)} | {default} | {text} |")
    return "\n".join(rows) + "\n"


def _kind(knob: dict[str, Any], kinds: dict[str, Any]) -> str:
    """A type in words: "a number, above 0, to 1"."""
    if "anyOf" in knob:
        return " or ".join(dict.fromkeys(_kind(part, kinds) for part in knob["anyOf"]))
    if "$ref" in knob:
        inner = kinds[knob["$ref"].rpartition("/")[2]]
        return "`{" + ", ".join(inner.get("properties", {})) + "}`"
    if "enum" in knob:
        return ", ".join(f"`{word}`" for word in knob["enum"])
    if "const" in knob:
        return f"`{knob['const']}`"
    words = {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "true or false"}
    words |= {"null": "null", "array": "a list", "object": "names and values"}
    ends = {"minimum": "from {:g}", "exclusiveMinimum": "above {:g}"}
    ends |= {"maximum": "to {:g}", "exclusiveMaximum": "below {:g}"}
    said = [text.format(knob[end]) for end, text in ends.items() if end in knob and abs(knob[end]) < 1e12]
    items = [f"of {_kind(knob['items'], kinds)}"] if knob.get("items") else []
    return ", ".join([words.get(knob.get("type", ""), "anything"), *items, *said])
