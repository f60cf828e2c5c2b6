"""The description of the v3 API: its OpenAPI document, and the page people read.

`openapi.json` beside this file is written by hand and is the source; the page
at `/docs` is made from it, so the two cannot disagree.
"""

import functools
import json
import re
import shlex
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

Json = Any

_FILES = resources.files("tidings.web.api_v3")
_SPEC: dict[str, Json] = json.loads((_FILES / "openapi.json").read_bytes())

# Without the indentation the document is a little over half as long.
DOCUMENT: bytes = json.dumps(_SPEC, ensure_ascii=False, separators=(",", ":")).encode()

# These can befall every call, so the page explains them once and not with each.
_COMMON_EXAMPLES = ("keyAbsent", "keyInvalid", "secretNeeded", "malformedBody", "tooLarge", "rateLimited")

# Told once, under Answers: it is the same for every GET.
_NOT_MODIFIED = "304"


@functools.lru_cache(maxsize=4)
def page(base: str = "http://127.0.0.1:8080") -> str:
    """The human page as HTML; `base` is the address that its curl examples call."""
    template = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).from_string((_FILES / "templates" / "docs.html").read_text("utf-8"))
    return template.render(
        title=_SPEC["info"]["title"],
        summary=_SPEC["info"]["summary"],
        base=base,
        sections=_sections(_SPEC["info"]["description"]),
        common=[{"status": status, **error} for status, error in _common_errors()],
        resources=[_resource(tag, base) for tag in _SPEC["tags"]],
    )


def _resource(tag: Json, base: str) -> Json:
    operations = [
        _operation(path, method, operation, base)
        for path, item in _SPEC["paths"].items()
        for method, operation in item.items()
        if operation["tags"] == [tag["name"]] and "x-alias-of" not in operation
    ]
    hooks = [hook["post"] for hook in _SPEC["webhooks"].values()]
    return {
        "name": tag["name"],
        "anchor": _anchor(tag["name"]),
        "description": _prose(tag["description"]),
        "operations": operations,
        "deliveries": [_delivery(hook) for hook in hooks if hook["tags"] == [tag["name"]]],
    }


def _operation(path: str, method: str, operation: Json, base: str) -> Json:
    answers, errors = _answers(operation)
    return {
        "id": operation["operationId"],
        "method": method.upper(),
        "path": re.split(r"(\{\w+\})", path),
        "aliases": _aliases(operation["operationId"]),
        "summary": operation["summary"],
        "description": _prose(operation["description"]),
        "caller": _caller(operation["security"]),
        "parameters": _parameters(operation),
        "curl": _curl(path, method, operation, base),
        "answers": answers,
        "errors": errors,
    }


def _delivery(operation: Json) -> Json:
    media = operation["requestBody"]["content"]["application/json"]
    return {
        "id": operation["operationId"],
        "summary": operation["summary"],
        "description": _prose(operation["description"]),
        "body": _pretty(media["examples"]["example"]["value"]),
    }


def _aliases(operation_id: str) -> list[str]:
    return [
        path
        for path, item in _SPEC["paths"].items()
        for operation in item.values()
        if operation.get("x-alias-of") == operation_id
    ]


def _caller(security: list[dict[str, Json]]) -> str:
    if not security:
        return "anyone"
    return "public key or secret" if {"apiKey": []} in security else "secret"


def _follow(value: Json) -> Json:
    """The value itself, or what its `$ref` points to; words beside the `$ref` win."""
    if "$ref" not in value:
        return value
    target: Json = _SPEC
    for token in value["$ref"].removeprefix("#/").split("/"):
        target = target[token]
    return {**_follow(target), **{key: word for key, word in value.items() if key != "$ref"}}


def _parameters(operation: Json) -> list[Json]:
    rows = [
        _row(given["name"], given["in"], given["schema"], given["description"], given["required"])
        for given in map(_follow, operation.get("parameters", []))
    ]
    if "requestBody" in operation:
        schema = _follow(operation["requestBody"]["content"]["application/json"]["schema"])
        rows += _properties(schema, "")
    return rows


def _properties(schema: Json, prefix: str) -> list[Json]:
    """One row for each property, and below an object one for each of its own."""
    rows = []
    for name, given in schema.get("properties", {}).items():
        inner = _follow(given)
        label = f"{prefix}{name}"
        needed = name in schema.get("required", ())
        rows.append(_row(label, "body", inner, inner.get("description", ""), needed))
        rows += _properties(inner, f"{label}.")
        for choice in map(_follow, inner.get("anyOf", ())):
            rows += _properties(choice, f"{label}.")
        if inner.get("type") == "array":
            rows += _properties(_follow(inner["items"]), f"{label}[].")
    return rows


def _row(name: str, place: str, schema: Json, description: str, required: bool) -> Json:
    within, dot, last = name.rpartition(".")
    return {
        "within": within + dot,
        "name": last,
        "place": place,
        "kind": _kind(schema),
        "required": required,
        "deprecated": schema.get("deprecated", False),
        "default": json.dumps(schema["default"]).strip('"') if "default" in schema else "",
        "description": _inline(description),
    }


def _kind(schema: Json) -> str:
    """What a value may be, in a few words."""
    if "enum" in schema:
        # A long enumeration would break the table; its description names the values.
        return " | ".join(map(str, schema["enum"])) if len(schema["enum"]) < 4 else "one of the known names"
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(_kind(_follow(choice)) for choice in schema["anyOf"]))
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    words: dict[str, str] = {
        "array": "list",
        "string": schema.get("format", "text"),
        "integer": "whole number",
    }
    return " or ".join(words.get(kind) or str(kind) for kind in types)


def _curl(path: str, method: str, operation: Json, base: str) -> str:
    place = path
    for given in map(_follow, operation.get("parameters", [])):
        if given["in"] == "path":
            place = place.replace(f"{{{given['name']}}}", str(given["example"]))
    if operation["security"]:
        public = {"apiKey": []} in operation["security"]
        place += "?api_key=$API_KEY" if public else "?api_secret=$API_SECRET"
    url = f'"{base}{place}"'
    lines = [f"curl {url}"] if method == "get" else [f"curl -X {method.upper()}", f"  {url}"]
    if "requestBody" in operation:
        examples = operation["requestBody"]["content"]["application/json"]["examples"]
        body = _compact(list(examples.values())[-1]["value"]).replace("\n", "\n  ")
        lines += ["  -H 'Content-Type: application/json'", f"  -d {shlex.quote(body)}"]
    return " \\\n".join(lines)


def _compact(value: Json) -> str:
    """JSON on one line where that is short enough to read, else indented."""
    line = json.dumps(value, ensure_ascii=False)
    return line if len(line) <= 60 else json.dumps(value, indent=2, ensure_ascii=False)


def _answers(operation: Json) -> tuple[list[Json], list[Json]]:
    """Successes with their examples, and the failures that are this call's own."""
    answers: list[Json] = []
    errors: list[Json] = []
    for status, given in operation["responses"].items():
        response = _follow(given)
        if status == _NOT_MODIFIED:
            continue
        ((media, content),) = response.get("content", {"": {}}).items()
        for name, example in content.get("examples", {"": {}}).items():
            failed = int(status) >= 400
            if failed and name not in _COMMON_EXAMPLES:
                errors.append({"status": status, **_error(_follow(example))})
            elif not failed:
                answers.append(_answer(status, media, response["description"], example))
    return answers, errors


def _answer(status: str, media: str, description: str, example: Json) -> Json:
    value = example.get("value")
    text = value if isinstance(value, str) else _pretty(value) if value is not None else ""
    said = example.get("summary", "")
    return {"status": status, "media": media, "said": _inline(said or description), "body": text}


def _common_errors() -> list[tuple[str, Json]]:
    """Each common failure once, with the status of the response that shows it."""
    found: dict[str, tuple[str, Json]] = {}
    for item in _SPEC["paths"].values():
        for operation in item.values():
            for status, response in operation["responses"].items():
                for name, example in _examples_of(response).items():
                    if name in _COMMON_EXAMPLES:
                        found.setdefault(name, (status, _error(_follow(example))))
    return sorted(found.values(), key=lambda pair: pair[0])


def _examples_of(response: Json) -> dict[str, Json]:
    content = _follow(response).get("content", {})
    examples: dict[str, Json] = content.get("application/json", {}).get("examples", {})
    return examples


def _error(example: Json) -> Json:
    return {"when": example["summary"], **example["value"]}


def _sections(markdown: str) -> list[Json]:
    """The sections of the description: a heading each, the first without one."""
    pieces = re.split(r"^## (.+)\n", markdown, flags=re.MULTILINE)
    pairs = [("", pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]
    return [{"name": name, "anchor": _anchor(name), "prose": _prose(text)} for name, text in pairs]


def _anchor(name: str) -> str:
    return name.lower().replace(" ", "-")


def _prose(text: str) -> Markup:
    """Paragraphs, parted by empty lines, as HTML."""
    return Markup("\n").join(Markup("<p>{}</p>").format(_inline(part)) for part in text.strip().split("\n\n"))


def _inline(text: str) -> Markup:
    """Words as HTML, what stands in backquotes as code."""
    code = Markup("<code>{}</code>")
    parts = text.split("`")
    return Markup("").join(code.format(part) if at % 2 else escape(part) for at, part in enumerate(parts))


_TOKENS = re.compile(
    r"""(?P<key> "(?:[^"\\]|\\.)*" )(?=:)
      | (?P<text> "(?:[^"\\]|\\.)*" )
      | (?P<word> \b(?:true|false|null)\b | -?\d[\d.]* )""",
    re.VERBOSE,
)


def _pretty(value: Json) -> Markup:
    """JSON, indented, its keys, texts and other values marked for colour."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    coloured = Markup('<span class="{}">{}</span>')
    marked: list[Markup] = []
    end = 0
    for token in _TOKENS.finditer(text):
        marked += [escape(text[end : token.start()]), coloured.format(token.lastgroup, token[0])]
        end = token.end()
    return Markup("").join([*marked, escape(text[end:])])
