"""What the code expects of its database, against what is there: `drift(expected, live)`.

tables      the records both are made of
types       one name for each type
sql         columns, keys, indexes and policies as SQL writes them
drift       what is missing or different, with the near miss
policies    row-level security: what two policies add up to
written     tables as `schema.toml` holds them
"""
