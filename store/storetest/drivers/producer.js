// Hands over each text of standard input (Base64, a line each) by each driver and mode, and prints: mode, number, message id or error.
const { Client } = require('pg')
const postgres = require('postgres')
const url = process.argv[2]
const texts = require('fs').readFileSync(0, 'utf8').trimEnd().split('\n').map(line => Buffer.from(line, 'base64').toString())
const enqueue = place => `SELECT redrive.enqueue('push', 't', ${place})::text AS id`
const casts = ['', '::text', '::varchar', '::json', '::jsonb']

async function report(mode, n, send) {
  try {
    console.log([mode, n, await send()].join('\t'))
  } catch (error) {
    console.log([mode, n, 'error: ' + String(error).replace(/\s/g, ' ')].join('\t'))
  }
}

async function withPg() {
  const client = new Client({ connectionString: url })
  await client.connect()
  const send = async (query, values) => (await client.query(query, values)).rows[0].id
  for (const [n, text] of texts.entries()) {
    for (const cast of casts) {
      await report('pg' + cast, n, () => send(enqueue('$1' + cast), [text]))
    }
    await report('pg prepared', n, () => send({ name: 'enqueue', text: enqueue('$1') }, [text]))
    await report('pg buffer', n, () => send(enqueue('$1'), [Buffer.from(text)]))
    await report('pg buffer::bytea', n, () => send(enqueue('$1::bytea'), [Buffer.from(text)]))
    await report('pg literal', n, () => send(enqueue(client.escapeLiteral(text)), undefined))
    await report('pg headers', n, () => send("SELECT redrive.publish('order.placed', $1, headers => $2)::text AS id", [text, '{"a": "b"}']))
    await report('pg object headers', n, () => send("SELECT redrive.publish('order.placed', $1, 'k', $2)::text AS id", [text, { a: 'b' }]))
  }
  await client.end()
}

async function withPostgres(name, options) {
  const sql = postgres(url, { max: 1, ...options })
  for (const [n, text] of texts.entries()) {
    const rows = async query => (await query)[0].id
    await report(name, n, () => rows(sql`SELECT redrive.enqueue('push', 't', ${text})::text AS id`))
    await report(name + '::text', n, () => rows(sql`SELECT redrive.enqueue('push', 't', ${text}::text)::text AS id`))
    // a parameter of type json is written as JSON by this driver, a string as a JSON string: it must be a text first
    await report(name + '::text::json', n, () => rows(sql`SELECT redrive.enqueue('push', 't', ${text}::text::json)::text AS id`))
    await report(name + '::text::jsonb', n, () => rows(sql`SELECT redrive.enqueue('push', 't', ${text}::text::jsonb)::text AS id`))
    await report(name + ' buffer', n, () => rows(sql`SELECT redrive.enqueue('push', 't', ${Buffer.from(text)})::text AS id`))
    await report(name + ' buffer::bytea', n, () => rows(sql`SELECT redrive.enqueue('push', 't', ${Buffer.from(text)}::bytea)::text AS id`))
    await report(name + ' unsafe', n, () => rows(sql.unsafe(enqueue('$1'), [text])))
    await report(name + ' headers', n, () => rows(sql`SELECT redrive.publish('order.placed', ${text}, headers => ${'{"a": "b"}'})::text AS id`))
  }
  await sql.end()
}

async function main() {
  await withPg()
  await withPostgres('postgres', {})
  await withPostgres('postgres unprepared', { prepare: false })
  await withPostgres('postgres untyped', { fetch_types: false })
}
main()
