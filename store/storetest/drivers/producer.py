"""Hands over each text of standard input (Base64, a line each) by each driver and mode, and prints: mode, number, message id or error."""
import asyncio
import base64
import sys

import asyncpg
import psycopg
import psycopg2
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import create_async_engine

url = sys.argv[1]
texts = [base64.b64decode(line).decode() for line in sys.stdin]


def report(mode, n, send):
    try:
        print(mode, n, send(), sep="\t")
    except Exception as error:  # the test reports it
        print(mode, n, "error: " + repr(error).replace("\n", " ").replace("\t", " "), sep="\t")


ENQUEUE = "SELECT redrive.enqueue('push', 't', %s)::text"
PUBLISH = "SELECT redrive.publish(type => 'order.placed', payload => %s, headers => %s, key => %s)::text"
CASTS = ("", "::text", "::varchar", "::json", "::jsonb")


def with_psycopg():
    with psycopg.connect(url, autocommit=True) as connection:
        for name, cursor in (("psycopg", connection.cursor()), ("psycopg client", psycopg.ClientCursor(connection)),
                             ("psycopg raw", psycopg.RawCursor(connection))):
            place = "$1" if name == "psycopg raw" else "%s"
            for n, text in enumerate(texts):
                for cast in CASTS:
                    report(name + cast, n, lambda: cursor.execute(ENQUEUE.replace("%s", place + cast), (text,)).fetchone()[0])
                report(name + " bytes", n, lambda: cursor.execute(ENQUEUE.replace("%s", place), (text.encode(),)).fetchone()[0])
                report(name + " bytes::bytea", n, lambda: cursor.execute(ENQUEUE.replace("%s", place + "::bytea"), (text.encode(),)).fetchone()[0])
        cursor = connection.cursor()
        for n, text in enumerate(texts):
            report("psycopg binary", n, lambda: cursor.execute(ENQUEUE.replace("%s", "%b"), (text,)).fetchone()[0])
            report("psycopg prepared", n, lambda: cursor.execute(ENQUEUE, (text,), prepare=True).fetchone()[0])
            report("psycopg headers", n, lambda: cursor.execute(PUBLISH, (text, '{"a": "b"}', "k")).fetchone()[0])
        with connection.pipeline():
            cursor = connection.cursor()
            for n, text in enumerate(texts):
                report("psycopg pipeline", n, lambda: cursor.execute(ENQUEUE, (text,)).fetchone()[0])


def with_psycopg2():
    connection = psycopg2.connect(url)
    connection.autocommit = True
    cursor = connection.cursor()

    def send(statement, *values):
        cursor.execute(statement, values)
        return cursor.fetchone()[0]

    for n, text in enumerate(texts):
        for cast in CASTS:
            report("psycopg2" + cast, n, lambda: send(ENQUEUE.replace("%s", "%s" + cast), text))
        report("psycopg2 bytes", n, lambda: send(ENQUEUE, psycopg2.Binary(text.encode())))
        report("psycopg2 headers", n, lambda: send(PUBLISH, text, '{"a": "b"}', "k"))
    connection.close()


def statements():
    yield "text", sa.text("SELECT redrive.enqueue('push', 't', :p)::text")
    for cast in ("text", "varchar", "json", "jsonb"):
        yield "text::" + cast, sa.text("SELECT redrive.enqueue('push', 't', cast(:p AS %s))::text" % cast)
    yield "text typed", sa.text("SELECT redrive.enqueue('push', 't', :p)::text").bindparams(sa.bindparam("p", type_=sa.Text))
    yield "text string", sa.text("SELECT redrive.enqueue('push', 't', :p)::text").bindparams(sa.bindparam("p", type_=sa.String))


def built(text):
    function = sa.func.redrive.enqueue("push", "t", text, "k", '{"a": "b"}')
    return sa.select(sa.cast(function, sa.Text))


def with_sqlalchemy(dialect):
    with sa.create_engine(url.replace("postgresql", "postgresql+" + dialect), isolation_level="AUTOCOMMIT").connect() as connection:
        for n, text in enumerate(texts):
            for mode, statement in statements():
                report("sqlalchemy " + dialect + " " + mode, n, lambda: connection.execute(statement, {"p": text}).scalar())
            report("sqlalchemy " + dialect + " func", n, lambda: connection.execute(built(text)).scalar())
            binary = sa.text("SELECT redrive.enqueue('push', 't', :p)::text").bindparams(sa.bindparam("p", type_=sa.LargeBinary))
            report("sqlalchemy " + dialect + " bytes", n, lambda: connection.execute(binary, {"p": text.encode()}).scalar())


async def areport(mode, n, coroutine):
    try:
        print(mode, n, await coroutine, sep="\t")
    except Exception as error:  # the test reports it
        print(mode, n, "error: " + repr(error).replace("\n", " ").replace("\t", " "), sep="\t")


async def with_asyncpg():
    connection = await asyncpg.connect(url)
    for n, text in enumerate(texts):
        for cast in CASTS:
            await areport("asyncpg" + cast, n, connection.fetchval(ENQUEUE.replace("%s", "$1" + cast), text))
        await areport("asyncpg bytes", n, connection.fetchval(ENQUEUE.replace("%s", "$1::bytea"), text.encode()))
        await areport("asyncpg headers", n, connection.fetchval("SELECT redrive.publish('order.placed', $1, headers => $2)::text", text, '{"a": "b"}'))
    await connection.close()
    engine = create_async_engine(url.replace("postgresql", "postgresql+asyncpg"), isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        for n, text in enumerate(texts):
            for mode, statement in statements():
                await areport("sqlalchemy asyncpg " + mode, n, scalar(connection, statement, {"p": text}))
            await areport("sqlalchemy asyncpg func", n, scalar(connection, built(text), {}))
    await engine.dispose()


async def scalar(connection, statement, values):
    return (await connection.execute(statement, values)).scalar()


with_psycopg()
with_psycopg2()
with_sqlalchemy("psycopg")
with_sqlalchemy("psycopg2")
asyncio.run(with_asyncpg())
