"""The changes of an OpenAPI document that break the clients of the old one.

    breaking_changes(old, new)     a list of Change, each with a rule, a place and a remedy

    rules.py        Change, and the table of every rule with its severity and remedy
    document.py     one model of 2.0, 3.0 and 3.1: operations, parameters, bodies, responses
    schema.py       one model of schemas: `$ref` and `allOf` merged, null and bounds unified
    alternatives.py the alternatives of schemas, paired by their content
    values.py       checks that one value became narrower, or wider
    schemas.py      the walk through two schemas: properties, items, alternatives
    operations.py   operations that are gone, or require more

Only data that is sent is compared: names of components and security schemes, the order and the
nesting of alternatives are free, and parameters, headers and fields of forms are text.

Not compared: callbacks, webhooks, servers and base paths, discriminators of a schema without
alternatives, and of JSON Schema `not`, `if`, `multipleOf`, `contains`, `prefixItems`,
`patternProperties`, `propertyNames` and `dependent…`.
"""

from pytest_prodcheck.analysis.openapi_diff.operations import breaking_changes
from pytest_prodcheck.analysis.openapi_diff.rules import RULES, Change, Rule

__all__ = ["RULES", "Change", "Rule", "breaking_changes"]
