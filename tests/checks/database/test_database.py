"""What the code expects of its database, without any: drift and policies, SQL read, settings."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_prodcheck.analysis.sql_schema import sql
from pytest_prodcheck.analysis.sql_schema.drift import drift
from pytest_prodcheck.analysis.sql_schema.tables import Column, Index, Policy, Schema, Table, merged
from pytest_prodcheck.analysis.sql_schema.types import canonical, same_type
from pytest_prodcheck.analysis.sql_schema.written import (
    column_text,
    foreign_key_text,
    index_text,
    policy_text,
    toml,
)
from pytest_prodcheck.checks.database.statements import not_a_read, refusal
from pytest_prodcheck.config import Secret, Settings, Target, load
from pytest_prodcheck.errors import UsageError
from pytest_prodcheck.guard import policy as rules

URL = "postgresql://reader:long-password@db.example.com/app"
PROD = f'[targets.prod]\nbase_url = "https://api.example.com"\ndatabase = "{URL}"\n'


def table(name: str = "journal_entries", **facts: object) -> Table:
    """A table from the texts that a schema file has."""
    made = {
        "columns": lambda texts: tuple(sql.column(*pair) for pair in texts.items()),
        "foreign_keys": lambda texts: tuple(map(sql.foreign_key, texts)),
        "indexes": lambda texts: tuple(map(sql.index, texts)),
        "policies": lambda texts: tuple(sql.policy(*pair) for pair in texts.items()),
    }
    fields = {key: made[key](value) if key in made else value for key, value in facts.items()}
    return Table(name=name, **fields)


def live(*tables: Table, dialect: str = "postgresql") -> Schema:
    """A live schema: of its tables everything is known."""
    empty = {
        "view": False,
        "primary_key": (),
        "foreign_keys": (),
        "indexes": (),
        "row_security": "off",
        "policies": (),
    }
    whole = [
        msgspec.structs.replace(
            one, **{key: value for key, value in empty.items() if getattr(one, key) is None}
        )
        for one in tables
    ]
    return Schema(dialect=dialect, tables=tuple(whole))  # type: ignore[arg-type]


def told(expected: Table, *there: Table, **facts: str) -> list[str]:
    return [
        f"{one.severity} {one.rule} {one.place}: {one.message}"
        for one in drift(expected, live(*there, **facts), wanted=["users"])
    ]


# --- drift

MOOD = {"id": "bigint not null", "mood_level": "integer", "energy_level": "integer"}
SCORES = {"id": "bigint not null", "mood_score": "integer", "energy_score": "integer"}
OWN = "for select to authenticated using (user_id = auth.uid())"
EVERYTHING = "for all to public using (true)"

DRIFTS = [
    ("the same", table(columns=MOOD), [table(columns=MOOD)], []),
    (
        "a column that was renamed names its near miss",
        table(columns=MOOD),
        [table(columns=SCORES)],
        [
            "critical schema.column_missing journal_entries.mood_level: this column is not there; "
            "there is mood_score, which nothing expects",
            "critical schema.column_missing journal_entries.energy_level: this column is not "
            "there; there is energy_score, which nothing expects",
        ],
    ),
    (
        "a column that differs in its capitals",
        table(columns={"clerkId": "text"}),
        [table(columns={"clerkid": "text"})],
        [
            "critical schema.column_missing journal_entries.clerkId: this column is not there; "
            "there is clerkid, which nothing expects"
        ],
    ),
    (
        "a column that is expected elsewhere in the table is no near miss",
        table(columns={"mood_level": "integer", "mood_levels": "integer"}),
        [table(columns={"mood_levels": "integer"})],
        [
            "critical schema.column_missing journal_entries.mood_level: this column is not there",
        ],
    ),
    (
        "a table that is not there",
        table(columns=MOOD),
        [table("journal_entry"), table("users")],
        [
            "critical schema.table_missing journal_entries: this table is not there; there is "
            "journal_entry, which nothing expects"
        ],
    ),
    (
        "a view that is not there",
        table("user", view=True),
        [table("users")],
        ["critical schema.table_missing user: this view is not there"],
    ),
    (
        "a table where a view is expected",
        table(view=True),
        [table()],
        ["critical schema.kind journal_entries: is a table, where a view is expected"],
    ),
    (
        "the default schema may be named",
        table("public.users", columns={"id": "int"}),
        [table("users", columns={"id": "integer"})],
        [],
    ),
    ("a table of another schema", table("audit.events"), [table("audit.events")], []),
    (
        "more than expected is no fault",
        table(columns={"id": "bigint not null"}, indexes=[], foreign_keys=[]),
        [table(columns=MOOD, indexes=["(id)"], foreign_keys=["id references users"])],
        [],
    ),
    (
        "a type",
        table(columns={"mood_level": "integer"}),
        [table(columns={"mood_level": "character varying(40)"})],
        [
            "critical schema.type journal_entries.mood_level: is character varying(40), where "
            "integer is expected"
        ],
    ),
    (
        "a length",
        table(columns={"name": "varchar(40)"}),
        [table(columns={"name": "character varying(20)"})],
        [
            "critical schema.type journal_entries.name: is character varying(20), where "
            "varchar(40) is expected"
        ],
    ),
    (
        "null where it is refused, and the other way round",
        table(columns={"a": "text not null", "b": "text"}),
        [table(columns={"a": "text", "b": "text not null"})],
        [
            "major schema.nullability journal_entries.a: may be null, where `not null` is expected",
            "major schema.nullability journal_entries.b: is not null, where null is allowed: "
            "storing nothing there will fail",
        ],
    ),
    (
        "a key is never null, whoever writes it",
        table(columns={"id": "integer not null"}),
        [table(columns={"id": "integer"}, primary_key=("id",))],
        [],
    ),
    (
        "of a view nobody knows whether it is null",
        table(view=True, columns={"a": "text not null"}),
        [table(view=True, columns={"a": "text"})],
        [],
    ),
    (
        "a primary key",
        table(primary_key=("id",)),
        [table(primary_key=("id", "day"))],
        [
            "critical schema.primary_key journal_entries: has the primary key (id, day), where "
            "(id) is expected"
        ],
    ),
    (
        "a primary key in another order",
        table(primary_key=("id", "day")),
        [table(primary_key=("day", "id"))],
        [],
    ),
    (
        "a foreign key that is not there",
        table(foreign_keys=["user_id references public.users (id)"]),
        [table()],
        [
            "major schema.foreign_key journal_entries(user_id): no foreign key user_id references "
            "users (id)"
        ],
    ),
    (
        "a foreign key that does something else",
        table(foreign_keys=["user_id references users (id) on delete cascade"]),
        [table(foreign_keys=["user_id references users (id)"])],
        [
            "major schema.foreign_key journal_entries(user_id): no foreign key user_id references "
            "users (id) on delete cascade; there is user_id references users (id)"
        ],
    ),
    (
        "a foreign key to whatever the primary key is",
        table(foreign_keys=["user_id references users"]),
        [table(foreign_keys=["FOREIGN KEY (user_id) REFERENCES users(id)"])],
        [],
    ),
    (
        "an index that is not unique",
        table(indexes=["unique (lower(email)) where deleted_at is null"]),
        [table(indexes=["btree (lower((email)::text))"])],
        [
            "major schema.index journal_entries(lower(email)): no index unique (lower(email)) "
            "where deleted_at is null; there is (lower(email))"
        ],
    ),
    (
        "an index as the server prints it",
        table(indexes=["unique (\"userId\", at DESC) where kind = 'A' and at > 0"]),
        [
            table(
                indexes=[
                    "unique btree (\"userId\", at DESC) WHERE (((kind)::text = 'A'::text) "
                    "AND (at > 0))"
                ]
            )
        ],
        [],
    ),
    (
        "texts differ by their case",
        table(indexes=["(a) where kind = 'a'"]),
        [table(indexes=["(a) where kind = 'A'"])],
        [
            "major schema.index journal_entries(a): no index (a) where kind = 'a'; there is (a) "
            "where kind = 'A'"
        ],
    ),
]


@pytest.mark.parametrize(
    ("expected", "there", "messages"), [case[1:] for case in DRIFTS], ids=[c[0] for c in DRIFTS]
)
def test_a_difference_is_named_with_its_near_miss(
    expected: Table, there: list[Table], messages: list[str]
) -> None:
    assert told(expected, *there) == messages


def test_an_index_whose_building_failed_is_there_and_of_no_use() -> None:
    (index,) = table(indexes=["(a)"]).indexes or ()
    broken = msgspec.structs.replace(
        table(), indexes=(msgspec.structs.replace(index, valid=False),)
    )
    (found,) = drift(table(indexes=["(a)"]), live(broken))
    assert (found.rule, found.severity) == ("schema.index_invalid", "major")
    assert found.message == "the index (a) is there, but invalid: PostgreSQL does not use it"
    assert "CREATE INDEX CONCURRENTLY" in found.remedy


def test_sqlite_knows_affinities_only() -> None:
    wanted = table(columns={"a": "text", "b": "bigint", "c": "integer"})
    there = table(columns={"a": "VARCHAR(40)", "b": "INT", "c": "TEXT"})
    assert told(wanted, there, dialect="sqlite") == [
        "critical schema.type journal_entries.c: is TEXT, where integer is expected"
    ]


# --- row-level security


def secured(*names: str, security: str = "on", **policies: str) -> Table:
    texts = {"own": OWN, **policies} if not names else policies
    return table(row_security=security, policies=texts)


POLICIES = [
    ("the same", secured(), secured(), []),
    (
        "a condition that is not written is not compared",
        table(policies={"own": "for select to authenticated"}),
        secured(),
        [],
    ),
    (
        "switched off, to debug something",
        table(policies={"own": OWN}),
        secured(security="off"),
        [
            "critical schema.rls_disabled journal_entries: row-level security is off: everybody "
            "sees every row"
        ],
    ),
    (
        "policies that do nothing, though nobody expects any",
        table(),
        secured(security="off"),
        [
            "critical schema.rls_disabled journal_entries: has 1 policy, but row-level security is "
            "off: they have no effect"
        ],
    ),
    (
        "not for the owner",
        table(row_security="forced"),
        table(row_security="on", policies={"own": OWN}),
        [
            "critical schema.rls_not_forced journal_entries: row-level security is not forced: the "
            "table's owner sees every row"
        ],
    ),
    (
        "on without any policy",
        table(),
        table(row_security="on"),
        [
            "critical schema.rls_without_policy journal_entries: row-level security is on without "
            "any policy: only its owner sees any row"
        ],
    ),
    ("on without any policy, as expected", table(row_security="on"), table(row_security="on"), []),
    (
        "on, where it is expected to be off",
        table(row_security="off"),
        table(row_security="forced", policies={"own": OWN}),
        [
            "critical schema.rls_enabled journal_entries: row-level security is on, where it is "
            "expected to be off"
        ],
    ),
    (
        "a policy that is gone",
        secured(admins="for select to admins using (true)"),
        secured(),
        [
            "critical schema.policy_missing journal_entries.admins: this policy is not there: for "
            "select to admins using (true)"
        ],
    ),
    (
        "a policy for more than it was made for",
        secured(),
        table(row_security="on", policies={"own": OWN.replace("authenticated", "public")}),
        [
            "critical schema.policy_differs journal_entries.own: is for select to public using "
            f"(user_id = auth.uid()), where {OWN} is expected"
        ],
    ),
    (
        "conditions that differ in how they group alone",
        table(policies={"own": "using ((a or b) and c)"}),
        table(row_security="on", policies={"own": "using (a OR (b AND c))"}),
        [
            "critical schema.policy_differs journal_entries.own: is for all to public using (a OR "
            "(b AND c)), where for all to public using ((a or b) and c) is expected"
        ],
    ),
    (
        "a second one, of another schema file",
        secured(),
        secured(theirs="for select to authenticated using (team = 1)"),
        [
            "critical schema.policy_unexpected journal_entries.theirs: nothing expects this "
            "policy: for select to authenticated using (team = 1)",
            "critical schema.policy_conflict journal_entries.own: and theirs both allow select: a "
            "row is allowed if either allows it: the wider one wins",
        ],
    ),
    (
        "one that lets everything pass, beside a narrow one",
        table(),
        secured(everything=EVERYTHING),
        [
            "critical schema.policy_conflict journal_entries.own: and everything both allow "
            "select: everything allows every row, so the other has no effect"
        ],
    ),
    (
        "the same, though both are declared",
        secured(everything=EVERYTHING),
        secured(everything=EVERYTHING),
        [
            "critical schema.policy_conflict journal_entries.own: and everything both allow "
            "select: everything allows every row, so the other has no effect"
        ],
    ),
    (
        "two that are declared are meant",
        secured(admins="for select to authenticated using (is_admin())"),
        secured(admins="for select to authenticated using (is_admin())"),
        [],
    ),
    (
        "two that nobody declared may be meant",
        table(),
        secured(admins="for select to authenticated using (is_admin())"),
        [],
    ),
    (
        "two for different commands",
        table(),
        secured(writes="for insert to authenticated with check (true)"),
        [],
    ),
    ("two for different roles", table(), secured(all="for all to service_role using (true)"), []),
    (
        "a restrictive one narrows",
        table(),
        secured(all="as restrictive for all to public using (true)"),
        [],
    ),
    (
        "inserts are let in by what is checked",
        table(),
        table(
            row_security="on",
            policies={"a": "for insert with check (true)", "b": "using (x) with check (own(x))"},
        ),
        [
            "critical schema.policy_conflict journal_entries.a: and b both allow insert: a "
            "allows every row, so the other has no effect"
        ],
    ),
]


@pytest.mark.parametrize(
    ("expected", "there", "messages"), [case[1:] for case in POLICIES], ids=[c[0] for c in POLICIES]
)
def test_row_level_security_is_held_to_what_is_expected(
    expected: Table, there: Table, messages: list[str]
) -> None:
    assert told(expected, there) == messages


# --- types and SQL

SAME_TYPES = [
    ("int4", "integer"),
    ("BIGSERIAL", "bigint"),
    ("varchar(40)", "character varying(40)"),
    ("VARCHAR(40)[]", "character varying(40)[]"),
    ("integer ARRAY", "int[]"),
    ("timestamptz(3)", "timestamp(3) with time zone"),
    ("TIMESTAMP", "timestamp without time zone"),
    ("NUMERIC(10, 2)", "decimal(10,2)"),
    ("numeric(10)", "numeric(10,0)"),
    ("FLOAT", "double precision"),
    ("float(24)", "real"),
    ("char", "character(1)"),
    ('"MoodType"', "moodtype"),
    ('public."MoodType"', '"MoodType"'),
    ('VARCHAR(40) COLLATE "de_DE"', "varchar(40)"),
    ("JSONB", "jsonb"),
    ("VARCHAR", "text"),
    ("vector(1536)", "VECTOR(1536)"),
]


@pytest.mark.parametrize(("one", "other"), SAME_TYPES)
def test_two_names_of_a_type_are_one(one: str, other: str) -> None:
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("json", "jsonb"),
        ("timestamp", "timestamptz"),
        ("text", "text[]"),
        ("varchar(40)", "text"),
        ("varchar(40)", "varchar"),
        ("numeric", "numeric(10,0)"),
        ("audit.mood", "mood"),
        ("integer", "bigint"),
    ],
)
def test_two_types_are_two(one: str, other: str) -> None:
    assert not same_type(one, other, "postgresql")


NO_SQL: list[tuple[Callable[..., object], list[str], str]] = [
    (sql.column, ["a", "text default 'x'"], "is not a column; write only its type, "),
    (sql.column, ["a", "bigint primary key"], "is not a column; write only its type, "),
    (sql.foreign_key, ["user_id"], "is not a foreign key; write it like "),
    (sql.foreign_key, ["a references b on delete explode"], "is not a foreign key; write it "),
    (sql.index, ["email"], "is not an index; write it like "),
    (sql.index, ["(email) having fun"], "is not an index; write it like "),
    (sql.index, ["concurrently gin (email)"], "is not an index; write it like "),
    (sql.index, ["(lower(email)"], "has a parenthesis that is not closed; close it"),
    (sql.policy, ["p", "select"], "is not a policy; write what follows its table in CREATE "),
    (sql.policy, ["p", "using (a) using (b)"], "is not a policy; write what follows its table"),
    (sql.policy, ["p", "using (a"], "has a parenthesis that is not closed; close it"),
]


@pytest.mark.parametrize(("read", "words", "message"), NO_SQL)
def test_what_is_no_sql_is_refused(
    read: Callable[..., object], words: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match="^" + message):
        read(*words)


NAMES = st.text(st.sampled_from("aB_ -\".é'\\\n"), min_size=1, max_size=8).filter(str.strip)
EXPRESSIONS = st.sampled_from(["a > 0", "kind = 'A b'", "own(x) and (y or z)", "true"])


@st.composite
def any_table(draw: st.DrawFn) -> Table:
    plain = st.sampled_from(["id", "userId", "stage1Output", "at", "ü"])
    some = st.lists(plain, min_size=1, max_size=3, unique=True).map(tuple)
    actions = st.sampled_from(["no action", "cascade", "set null"])
    columns = draw(st.lists(NAMES, max_size=3, unique=True))
    policies = draw(st.lists(NAMES, max_size=2, unique=True))
    return Table(
        name=draw(plain),
        columns=tuple(
            Column(name=name, type=draw(st.sampled_from(["text", '"My Type"', "numeric(10,2)[]"])),
                   nullable=draw(st.booleans()))
            for name in columns
        ),
        primary_key=draw(some),
        indexes=(
            Index(columns=", ".join(draw(some)), unique=draw(st.booleans()),
                  where=draw(st.just("") | EXPRESSIONS), nulls_distinct=draw(st.booleans())),
        ),
        foreign_keys=(
            sql.ForeignKey(columns=draw(some), table=draw(plain), references=draw(some),
                           on_delete=draw(actions), on_update=draw(actions)),
        ),
        policies=tuple(
            Policy(name=name, command=draw(st.sampled_from(["all", "select", "insert"])),
                   roles=draw(some), using=draw(st.none() | EXPRESSIONS),
                   check=draw(st.none() | EXPRESSIONS), permissive=draw(st.booleans()))
            for name in policies
        ),
    )  # fmt: skip


@given(any_table())
@settings(database=None, derandomize=True, max_examples=100, deadline=None)
def test_a_table_that_is_written_is_read_as_the_same(wanted: Table) -> None:
    """Each of its parts, and all of it as a schema file."""
    assert [sql.column(c.name, column_text(c)) for c in wanted.columns] == list(wanted.columns)
    for key in wanted.foreign_keys or ():
        assert sql.foreign_key(foreign_key_text(key)) == key
    for index in wanted.indexes or ():
        assert sql.index(index_text(index)) == index
    for policy in wanted.policies or ():
        assert sql.policy(policy.name, policy_text(policy)) == policy
    read = _schema_file(toml([wanted], "Recorded."))
    assert drift(read, live(msgspec.structs.replace(wanted, row_security="on"))) == drift(
        wanted, live(msgspec.structs.replace(wanted, row_security="on"))
    )
    assert read.columns == wanted.columns


def _schema_file(text: str) -> Table:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "schema.toml").write_text(text)
        (Path(folder) / "prodcheck.toml").write_text(f'{PROD}[database]\nschema = "schema.toml"\n')
        found = load("prod", root=Path(folder), environ={}).database
    assert found
    return found.tables[0]


def test_what_is_declared_goes_before_what_an_orm_says() -> None:
    orm = table(columns={"id": "integer not null", "mood": "text"}, indexes=["(mood)"])
    declared = table(columns={"mood": "integer"}, policies={"own": OWN})
    other = table("users", columns={"id": "integer"})
    assert merged([orm, other], [declared]) == (
        table(
            columns={"id": "integer not null", "mood": "integer"},
            indexes=["(mood)"],
            policies={"own": OWN},
        ),
        other,
    )


# --- what may be sent

READS = [
    "select 1",
    " -- a comment; drop\n/* and /* another */ ; */ SELECT 1 ;",
    "(select 1) union (select 2)",
    "with x as (select 1) select * from x",
    "select '; delete', e'\\'; delete', $$; delete$$, $a$; $$ delete$a$, \"; delete\" from t",
    "TABLE users",
    "values (1)",
    "show transaction_read_only",
    "explain analyze select 1",
    "select nextval, set_config from t",
    "select lower(name) from pg_stat_activity",
]
REFUSED = [
    ("insert into t values (1)", "insert is not a statement that reads; the connection takes "),
    ("/* select */ delete from t", "delete is not a statement that reads"),
    ("", "nothing is not a statement that reads"),
    ("commit", "commit is not a statement that reads"),
    ("set transaction read write", "set is not a statement that reads"),
    ("copy t to program 'sh'", "copy is not a statement that reads"),
    ("do $$ begin end $$", "do is not a statement that reads"),
    ("select 1; commit", "it is more than one statement; send them one by one"),
    ("select '\\'; commit; --'", "it is more than one statement; send them one by one"),
    ("select $1$; commit; $1$", "it is more than one statement; send them one by one"),
    ("select Set_Config ('a', 'b', false)", "it calls set_config(), which does more than read"),
    ("select pg_catalog.\"nextval\"('s')", "it calls nextval(), which does more than read"),
    ("select U&\"set\\005fconfig\"('a', 'b', false)", "it writes a name in escapes, which hide"),
    ("select pg_advisory_xact_lock(1)", "it calls pg_advisory_xact_lock(), which does more"),
    ("select pg_terminate_backend(1)", "it calls pg_terminate_backend(), which does more"),
    ("select dblink_exec('', '')", "it calls dblink_exec(), which does more than read"),
]


@pytest.mark.parametrize("statement", READS)
def test_a_statement_that_reads_may_be_sent(statement: str) -> None:
    assert refusal(statement) is None


@pytest.mark.parametrize(("statement", "why"), REFUSED)
def test_a_statement_that_does_more_than_read_is_refused(statement: str, why: str) -> None:
    assert (refusal(statement) or "").startswith(why)


@pytest.mark.parametrize(
    ("query", "why"),
    [
        ('SELECT * FROM "PipelineRun" LIMIT 10', None),
        ("with x as (select 1) select * from x", None),
        ("select 1; select 2", "is not one statement; write one that reads"),
        ("-- nothing", "is not one statement; write one that reads"),
        ("selec 1 from from", "is not SQL: "),
        ("explain select 1", "is not a SELECT; write a query that reads"),
        ("update t set a = 1", "is not a SELECT; write a query that reads"),
        ("select * into u from t", "makes a table (INTO); write a query that only reads"),
        ("select 1 from t for update", "locks rows (FOR UPDATE or SHARE); write a query that only"),
        ("with x as (delete from t returning *) select * from x", "changes rows; write a query "),
        ("select pg_advisory_lock(1)", "is refused: it calls pg_advisory_lock(), which does more"),
    ],
)
@pytest.mark.filterwarnings("ignore")  # sqlglot tells that it takes what it does not know as it is
def test_a_query_that_is_declared_has_to_be_one_read(query: str, why: str | None) -> None:
    found = not_a_read(query)
    assert found is None if why is None else (found or "").startswith(why)


# --- what the guard lets through


@pytest.mark.parametrize(
    ("url", "hosts"),
    [
        ("postgresql://reader:secret-1@db.example.com/app", ("db.example.com:5432",)),
        ("postgresql+asyncpg://reader@10.0.0.7:6543/app", ("10.0.0.7:6543",)),
        ("postgres://reader@[::1]/app", ("[::1]:5432",)),
        ("postgresql://reader@/app?host=/run/postgresql", ("unix:/run/postgresql/.s.PGSQL.5432",)),
        ("postgresql://reader@a.example,b.example:5433/app", ()),
        ("sqlite:////srv/app.db", ()),
    ],
)
def test_the_databases_host_is_one_that_the_configuration_names(
    url: str, hosts: tuple[str, ...]
) -> None:
    target = Target(name="prod", base_url="https://x.test", database=Secret(url, "${URL}"))
    policy = rules.Policy.of(target)
    assert policy.hosts == hosts
    named = [host for host in hosts if not host.startswith("unix:")]
    assert len(rules.Rules(policy).endpoints) == 1 + len(named)


# --- settings


@pytest.fixture
def given_file(tmp_path: Path) -> Callable[..., Settings]:
    def loaded(text: str, schema: str | None = None) -> Settings:
        (tmp_path / "prodcheck.toml").write_text(PROD + text)
        if schema is not None:
            (tmp_path / "schema.toml").write_text(schema)
        return load("prod", root=tmp_path, environ={})

    return loaded


def test_every_key_reaches_the_settings(given_file: Callable[..., Settings]) -> None:
    found = given_file(
        """
        [database]
        schema = "schema.toml"
        metadata = "app.models:Base.metadata"
        connections = 5
        slow = 0.25
        queries = { latest = 'SELECT * FROM "PipelineRun" LIMIT 10' }
        [database.tables.users]
        columns = { is_premium = "boolean not null" }
        [database.tables."audit.events"]
        view = true
        primary_key = ["id"]
        foreign_keys = ["userId references users (id) on delete set null"]
        indexes = ["unique nulls not distinct (at)"]
        row_level_security = "forced"
        policies = { own = "for select to authenticated using (a = b)" }
        """.replace("unique nulls not distinct (at)", "unique (at) nulls not distinct"),
        '[tables.journal_entries]\ncolumns.mood_level = "integer"\n',
    ).database
    assert found
    assert (found.metadata, found.connections, found.slow) == ("app.models:Base.metadata", 5, 0.25)
    assert found.queries == {"latest": 'SELECT * FROM "PipelineRun" LIMIT 10'}
    journal, users, events = found.tables
    assert journal == table(columns={"mood_level": "integer"})
    assert users == table("users", columns={"is_premium": "boolean not null"})
    assert events == Table(
        name="audit.events",
        view=True,
        primary_key=("id",),
        foreign_keys=(
            sql.ForeignKey(
                columns=("userId",), table="users", references=("id",), on_delete="set null"
            ),
        ),
        indexes=(Index(columns="at", unique=True, nulls_distinct=False),),
        row_security="forced",
        policies=(Policy(name="own", command="select", roles=("authenticated",), using="a = b"),),
    )


def test_nothing_is_expected_unless_it_is_written(given_file: Callable[..., Settings]) -> None:
    assert given_file("").database is None
    found = given_file("[database]\n").database
    assert found
    assert (found.tables, found.connections, found.slow) == ((), 20, 1.0)


@pytest.mark.parametrize(
    ("text", "schema", "message"),
    [
        (
            "[database]\nconections = 5\n",
            None,
            'prodcheck.toml:5: database.conections: is not a key here. Did you mean "connections"?',
        ),
        (
            "[database.tables.users]\ncolumns = { a = 'text primary key' }\n",
            None,
            "prodcheck.toml:5: database.tables.users.columns.a: is not a column; write only",
        ),
        (
            "[database.tables.users]\nindexes = ['(a)', 'b']\n",
            None,
            "prodcheck.toml:5: database.tables.users.indexes[1]: is not an index; write it like",
        ),
        (
            "[database.tables.users]\nrow_level_security = 'maybe'\n",
            None,
            "prodcheck.toml:5: database.tables.users.row_level_security: expected ",
        ),
        (
            "[database]\nschema = 'schema.toml'\n",
            None,
            "prodcheck.toml:5: database.schema: there is no file schema.toml beside prodcheck.toml",
        ),
        (
            "[database]\nschema = 'schema.toml'\n",
            "[tables.users]\npolicies = { own = 'select' }\n",
            "schema.toml:2: tables.users.policies.own: is not a policy; write what follows its ",
        ),
        (
            "[database]\nschema = 'schema.toml'\n",
            "[users]\n",
            "schema.toml:1: users: is not a key here. Allowed: tables",
        ),
        (
            "[database]\nschema = 'schema.toml'\n[database.tables.users]\n",
            "[tables.users]\n",
            "prodcheck.toml:6: database.tables.users: is in schema.toml too; keep one of the ",
        ),
        (
            "[database]\nmetadata = 'app/models.py'\n",
            None,
            "prodcheck.toml:5: database.metadata: expected a text, as ",
        ),
    ],
)
def test_what_means_nothing_is_refused_with_its_place(
    given_file: Callable[..., Settings], text: str, schema: str | None, message: str
) -> None:
    with pytest.raises(UsageError) as error:
        given_file(text, schema)
    assert str(error.value).startswith(message)
