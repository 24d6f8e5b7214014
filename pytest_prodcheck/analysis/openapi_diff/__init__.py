"""What of a new OpenAPI document breaks the clients of an old one.

    breaking_changes(old, new)     a list of Change, each with a rule, a place and a remedy

    rules.py        Change, and the table of every rule with its severity and remedy
    document.py     one reading of 2.0, 3.0 and 3.1: operations, parameters, bodies, answers
    schema.py       one reading of schemas: `$ref` and `allOf` merged, null and bounds alike
    alternatives.py the alternatives of schemas, paired by what they say
    values.py       how one value became narrower, or wider
    schemas.py      the walk through two schemas: properties, items, alternatives
    operations.py   what of an operation is gone, or asks for more

What is compared is what is on the wire: names of components and security schemes, the order and
the nesting of alternatives are free, and parameters, headers and fields of forms are text.

Not compared: callbacks, webhooks, servers and base paths, discriminators of a schema without
alternatives, and of JSON Schema `not`, `if`, `multipleOf`, `contains`, `prefixItems`,
`patternProperties`, `propertyNames` and `dependent…`.
"""

from pytest_prodcheck.analysis.openapi_diff.operations import breaking_changes
from pytest_prodcheck.analysis.openapi_diff.rules import RULES, Change, Rule

__all__ = ["RULES", "Change", "Rule", "breaking_changes"]
