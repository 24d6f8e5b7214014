"""What the demo's API takes and gives."""

from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

NAME = r"^[a-z][a-z0-9-]{0,39}$"


def _whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# JSON has one kind of number: 5.0 is an integer there, though Python tells them apart.
Level = Annotated[int, Field(ge=1, le=10), BeforeValidator(_whole)]
Rating = Annotated[int, Field(ge=1, le=5), BeforeValidator(_whole)]
Name = Annotated[str, Field(pattern=NAME, examples=["ada"])]
Text = Annotated[
    str, Field(min_length=1, max_length=2000, examples=["Slept well, walked to work."])
]
Mode = Literal["DATABASE_ONLY", "DUAL_WRITE", "FILE_ONLY", "INVALID"]
Mood = Literal["low", "fair", "good"]
Theme = Literal["light", "dark", "system"]
Language = Literal["en", "de", "fr"]


class Body(BaseModel):
    """A request's body: taken as it is declared, or refused."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Detail(BaseModel):
    """What is wrong."""

    detail: str


class Invalid(BaseModel):
    """One way in which a request does not fit the description."""

    loc: list[str | int]
    msg: str
    type: str


class InvalidRequest(BaseModel):
    """What is wrong with a request."""

    detail: list[Invalid]


class Index(BaseModel):
    service: str
    version: str
    documentation: str


class Health(BaseModel):
    status: Literal["healthy", "degraded"]
    config_loaded: bool
    environment: str
    version: str
    commit: str
    mode: Mode
    database_writes: bool
    file_fallback: bool
    database_connection: Literal["healthy", "failed", "unknown", "skipped"]
    database_error: str | None
    memory_breaker: Literal["closed", "open", "half-open"]
    dependencies: dict[str, Literal["healthy", "failed", "skipped"]]


class Info(BaseModel):
    service: str
    version: str
    commit: str
    environment: str
    python: str
    started_at: str
    mode: Mode
    database_writes: bool
    file_fallback: bool


class Latency(BaseModel):
    """Milliseconds."""

    p50: float
    p95: float


class MetricsSummary(BaseModel):
    uptime_s: float
    requests: int
    errors: int
    error_rate: float
    latency_ms: Latency


class NewEntry(Body):
    author: Name
    text: Text
    mood_level: Level = 5
    energy_level: Level = 5
    stress_level: Level = 5


class EntryChanges(Body):
    """What is to be different; what is absent or null stays."""

    text: Text | None = None
    mood_level: Level | None = None
    energy_level: Level | None = None
    stress_level: Level | None = None


class Entry(BaseModel):
    id: int
    author: Name
    text: Text
    mood_level: Level
    energy_level: Level
    stress_level: Level
    created_at: str
    updated_at: str


class Entries(BaseModel):
    total: int
    items: list[Entry]


class EntryMood(BaseModel):
    entry_id: int
    mood_level: Level
    mood: Mood


class Tag(BaseModel):
    tag: str = Field(min_length=1)
    entries: int = Field(ge=1)


class Reflection(Body):
    text: str = Field(min_length=1, max_length=2000, examples=["Two deadlines moved at once."])
    mood_level: Level = 5


class Insight(BaseModel):
    insight: str
    action: str
    question: str


class NewFeedback(Body):
    rating: Rating
    comment: str = Field(default="", max_length=500)


class Feedback(BaseModel):
    id: int
    rating: Rating
    comment: str
    created_at: str


class FeedbackSummary(BaseModel):
    count: int
    average_rating: float | None


class NewPreferences(Body):
    theme: Theme = "system"
    language: Language = "en"
    reminders: bool = True


class Preferences(BaseModel):
    user: Name
    theme: Theme
    language: Language
    reminders: bool


class Analytics(BaseModel):
    entries: int
    authors: int
    average_mood: float | None
    average_stress: float | None
    feedback: int
    average_rating: float | None


class Author(BaseModel):
    author: str
    entries: int
    last_entry_at: str


class NewFlags(Body):
    database_writes: bool
    file_fallback: bool
    for_seconds: Annotated[int, Field(ge=0, le=86_400), BeforeValidator(_whole)] = 0
    """After which the flags go back by themselves; 0: never."""


class Notice(Body):
    text: Annotated[str, Field(max_length=200)]


class Faults(Body):
    """What fails on purpose."""

    database: bool = False
    memory: bool = False


class FlagsInUse(BaseModel):
    database_writes: bool
    file_fallback: bool
    mode: Mode
