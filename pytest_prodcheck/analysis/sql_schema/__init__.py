"""The comparison of the schema that the code expects with the live one: `drift(expected, live)`.

tables      the records of both schemas
types       one name for each type
sql         the parsing of columns, keys, indexes and policies in SQL
drift       missing or different parts, with similar names
policies    row-level security, and the combined effect of two policies
written     tables in the form of `schema.toml`
"""
