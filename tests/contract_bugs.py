"""What is wrong with `demo:contract-bugs`: what a contract run has to find, and nothing else."""

from typing import NamedTuple


class ContractBug(NamedTuple):
    number: int
    operation: str
    wrong: str
    check: str
    """The Schemathesis check that names it."""
    safe: bool
    """GET alone finds it."""


CONTRACT_BUGS = (
    ContractBug(
        1,
        "GET /journal/entries/{entry_id}/insight",
        "The largest documented id is answered with a 500 where others are a 404.",
        "not_a_server_error",
        safe=True,
    ),
    ContractBug(
        2,
        "GET /journal/moods",
        'Entries with a level of 9 or 10 have the mood "great", which the enum does not have.',
        "response_schema_conformance",
        safe=True,
    ),
    ContractBug(
        3,
        "POST /feedback",
        "A comment with a character outside ASCII is answered with a 500.",
        "not_a_server_error",
        safe=False,
    ),
    ContractBug(
        4,
        "GET /journal/entries",
        "The required `total` is missing when `author` is given.",
        "response_schema_conformance",
        safe=True,
    ),
    ContractBug(
        5,
        "POST /journal/insights",
        "A text of 1000 to 2000 characters is answered with a 413, which is not documented.",
        "status_code_conformance",
        safe=False,
    ),
    ContractBug(
        6,
        "GET /",
        "The answer says text/plain where the document says application/json.",
        "content_type_conformance",
        safe=True,
    ),
    ContractBug(
        7,
        "GET /journal/tags",
        "When there are no tags, the answer is null instead of an empty list.",
        "response_schema_conformance",
        safe=True,
    ),
    ContractBug(
        8,
        "PUT /admin/notice",
        "It needs no token, though GET on the same path does.",
        "ignored_auth",
        safe=False,
    ),
    ContractBug(
        9,
        "GET /journal/entries/{entry_id}",
        "An entry that was deleted can still be read.",
        "use_after_free",
        safe=False,
    ),
    ContractBug(
        10,
        "PATCH /journal/entries/{entry_id}",
        "A `mood_level` above the documented maximum of 10 is accepted.",
        "negative_data_rejection",
        safe=False,
    ),
    ContractBug(
        11,
        "GET /admin/feedback",
        "`X-Total-Count` is not an integer.",
        "response_headers_conformance",
        safe=True,
    ),
    ContractBug(
        12,
        "GET /journal/search",
        "The optional `text`, given and empty, is answered with a 500.",
        "not_a_server_error",
        safe=True,
    ),
)
