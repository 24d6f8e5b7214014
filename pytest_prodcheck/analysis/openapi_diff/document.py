"""One model of OpenAPI 2.0, 3.0 and 3.1: the parts of a document that clients depend on.

A document may be malformed in any way: a part that is not of the expected kind counts as absent.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pytest_prodcheck.analysis.openapi_refs import METHODS, array, pointed, resolved, table
from pytest_prodcheck.model import Record

ANY_MEDIA = "*/*"
"""The media type of a document of 2.0 that declares none."""

NOT_PARAMETERS = {"accept", "content-type", "authorization"}
"""Header parameters that OpenAPI says to ignore, because other parts describe them."""

Nodes = tuple[Any, ...]
"""Schemas as they are in the document; a value must satisfy each of them."""


Encoding = Literal["json", "form", "list", "text"]
"""The encoding of a value: JSON; a form, whose fields are text; a text with a whole list, `1,2`; or
a text of one value."""


class Parameter(Record):
    """A value with a name, sent in a request, or in a response as a header."""

    label: str
    """`query parameter limit`, `header Location`."""
    required: bool
    deprecated: bool
    schema: Nodes
    encoding: Encoding = "text"
    serialization: str = ""
    """The style of a list or an object: `form`, `form, exploded`, `deepObject` …"""


class Body(Record):
    required: bool
    content: dict[str, Nodes]
    """Media type, in lower case and without parameters -> schema."""


class Response(Record):
    content: dict[str, Nodes]
    headers: dict[str, Parameter]


Alternative = dict[str, frozenset[str]]
"""Security schemes, all needed together -> the scopes that each must have."""


class Operation(Record):
    method: str
    path: str
    deprecated: bool
    parameters: dict[tuple[str, str], Parameter]
    """By `in` and name; those of the path by their position, because their names may change."""
    body: Body | None
    responses: dict[str, Response]
    security: tuple[Alternative, ...]
    """Alternatives for access; an empty one needs no credentials. None at all: it is unreadable."""


class Document:
    """A parsed OpenAPI document. Only references inside it are followed."""

    def __init__(self, spec: Mapping[str, Any]) -> None:
        self._spec = table(spec)
        self._is_swagger = "swagger" in self._spec

    def target(self, reference: Any) -> Any:
        """Return the value at `#/a/b`; None if it is not in the document."""
        return pointed(self._spec, reference)

    def resolved(self, value: Any) -> Mapping[str, Any]:
        """Return the table that `value` is or refers to; empty if there is none."""
        return resolved(self._spec, value)

    def operations(self) -> Iterator[Operation]:
        for path, item in table(self._spec.get("paths")).items():
            item = self.resolved(item)
            for method in METHODS:
                if isinstance(item.get(method), Mapping):
                    yield self._operation(str(path), method, item)

    def _operation(self, path: str, method: str, item: Mapping[str, Any]) -> Operation:
        operation = item[method]
        stated = [
            self.resolved(each)
            for each in [*array(item.get("parameters")), *array(operation.get("parameters"))]
        ]
        return Operation(
            method=method.upper(),
            path=path,
            deprecated=operation.get("deprecated") is True,
            parameters=self._parameters(path, stated),
            body=self._swagger_body(operation, stated)
            if self._is_swagger
            else self._body(operation),
            responses={
                str(status).upper(): self._response(operation, self.resolved(response))
                for status, response in table(operation.get("responses")).items()
            },
            security=self._security(operation),
        )

    def _parameters(
        self, path: str, stated: list[Mapping[str, Any]]
    ) -> dict[tuple[str, str], Parameter]:
        """Return the parameters; a definition of the operation replaces that of the path."""
        positions = {name: str(n) for n, name in enumerate(re.findall(r"\{([^{}]*)\}", path))}
        parameters = {}
        for each in self._separately(stated):
            where, name = each.get("in"), each.get("name")
            if not isinstance(name, str):
                continue
            key = name.lower() if where == "header" else name
            if where == "path":
                key = positions.get(name, "")
            elif where not in ("query", "header", "cookie") or (
                where == "header" and key in NOT_PARAMETERS
            ):
                continue
            if key:
                label = f"{where} parameter {name}"
                parameters[where, key] = self._named(each, label, str(where))
        return parameters

    def _separately(self, stated: list[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
        """Yield a query object as one parameter per property: `page=1` or `filter[a]=1`."""
        for each in stated:
            schema = self.resolved(each.get("schema"))
            inside = table(schema.get("properties"))
            how = _serialization(each, "query")
            alone = schema.keys() <= {"type", "properties", "required", "title", "description"}
            if each.get("in") != "query" or not inside or not alone or how == "form":
                yield each
                continue
            needed = array(schema.get("required")) if each.get("required") is True else []
            for name, node in inside.items():
                written = f"{each.get('name')}[{name}]" if how == "deepObject" else str(name)
                yield {"in": "query", "name": written, "schema": node, "required": name in needed}

    def _named(self, stated: Mapping[str, Any], label: str, where: str) -> Parameter:
        if self._is_swagger:
            schema: Any = stated
        else:
            contents = [table(media).get("schema") for media in _tables(stated.get("content"))]
            schema = stated.get("schema", contents[0] if contents else {})
        how = _serialization(stated, where)
        encoding: Encoding = "text" if how == "form, exploded" else "list"
        return Parameter(
            label=label,
            required=where == "path" or stated.get("required") is True,
            deprecated=stated.get("deprecated") is True,
            schema=(schema,),
            encoding="json" if stated.get("content") else encoding,
            serialization=how,
        )

    def _body(self, operation: Mapping[str, Any]) -> Body | None:
        body = self.resolved(operation.get("requestBody"))
        content = _content(body.get("content"))
        if not content:
            return None
        return Body(required=body.get("required") is True, content=content)

    def _swagger_body(
        self, operation: Mapping[str, Any], stated: list[Mapping[str, Any]]
    ) -> Body | None:
        """Return the body of 2.0, which is a parameter, or one for each field of a form."""
        bodies = [each for each in stated if each.get("in") == "body"]
        fields = {str(each.get("name")): each for each in stated if each.get("in") == "formData"}
        needed = [name for name, each in fields.items() if each.get("required") is True]
        if bodies:
            required = bodies[-1].get("required") is True
            schema = bodies[-1].get("schema", {})
        elif fields:
            required = bool(needed)
            schema = {"type": "object", "properties": fields, "required": needed}
        else:
            return None
        types = self._swagger_types(operation, "consumes")
        return Body(required=required, content=dict.fromkeys(types, (schema,)))

    def _swagger_types(self, operation: Mapping[str, Any], which: str) -> list[str]:
        stated = array(operation.get(which, self._spec.get(which)))
        return sorted({_media_type(kind) for kind in stated}) or [ANY_MEDIA]

    def _response(self, operation: Mapping[str, Any], response: Mapping[str, Any]) -> Response:
        if not self._is_swagger:
            content = _content(response.get("content"))
        elif "schema" in response:
            types = self._swagger_types(operation, "produces")
            content = dict.fromkeys(types, (response["schema"],))
        else:
            content = {}
        headers = {
            str(name).lower(): self._named(self.resolved(header), f"header {name}", "header")
            for name, header in table(response.get("headers")).items()
            if str(name).lower() != "content-type"
        }
        return Response(content=content, headers=headers)

    def _security(self, operation: Mapping[str, Any]) -> tuple[Alternative, ...]:
        stated = operation.get("security", self._spec.get("security"))
        if stated is None or stated == []:
            return ({},)
        return tuple(
            {str(name): frozenset(map(str, array(scopes))) for name, scopes in each.items()}
            for each in array(stated)
            if isinstance(each, Mapping)
        )

    def security_schemes(self) -> dict[str, str]:
        """Return name -> kind in words: `http bearer`, `apiKey header X-Key`."""
        components = table(self._spec.get("components"))
        stated = self._spec.get("securityDefinitions", components.get("securitySchemes"))
        schemes = {}
        for name, value in table(stated).items():
            scheme = self.resolved(value)
            words = [scheme.get(key) for key in ("type", "scheme", "in", "name")]
            if words[0] == "basic":
                words[:2] = ["http", "basic"]
            if isinstance(words[1], str):
                words[1] = words[1].lower()
            schemes[str(name)] = " ".join(word for word in words if isinstance(word, str))
        return schemes


_COLLECTIONS = {
    "csv": "",
    "multi": "form, exploded",
    "ssv": "spaceDelimited",
    "tsv": "tabDelimited",
    "pipes": "pipeDelimited",
}
"""`collectionFormat` of 2.0 -> the style of 3.x."""


def _serialization(stated: Mapping[str, Any], where: str) -> str:
    """Return the style of a list, with `exploded` if each item is separate."""
    if stated.get("content"):
        return "content"
    default = "form" if where in ("query", "cookie") else "simple"
    if "collectionFormat" in stated or ("style" not in stated and "schema" not in stated):
        return _COLLECTIONS.get(str(stated.get("collectionFormat", "csv"))) or default
    style = str(stated.get("style", default))
    exploded = stated.get("explode", style == "form") is True
    return "form, exploded" if style == "form" and exploded else style


def _tables(value: Any) -> list[Any]:
    return list(table(value).values())


def _media_type(name: Any) -> str:
    return str(name).partition(";")[0].strip().lower()


def _content(value: Any) -> dict[str, Nodes]:
    """Return the media types, JSON first: a change of a shared schema is reported for the first."""
    found = {
        _media_type(name): (table(media).get("schema", {}),) for name, media in table(value).items()
    }
    return dict(sorted(found.items(), key=lambda item: (item[0] != "application/json", item[0])))
