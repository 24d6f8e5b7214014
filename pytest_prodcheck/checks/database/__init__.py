"""The target's database, which is only read.

connection  the one connection of a process, bounded and read-only for certain
postgres    all contact with psycopg; sqlite: its twin; statements: which SQL may be sent
socket_timeout  hangs up on a server that is silent
tables      the live tables, from the server's own catalogue; metadata: those of SQLAlchemy
schema      one expected table against them
load        connections in use, and how long declared queries take
recording   `prodcheck init --database`
"""
