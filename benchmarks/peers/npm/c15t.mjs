// c15t's own backend as its documentation sets it up: Kysely on PostgreSQL, mounted in Hono. `server.mjs SOCKET_DIR PORT`.
import { serve } from '@hono/node-server';
import { c15tInstance } from '@c15t/backend';
import { kyselyAdapter } from '@c15t/backend/db/adapters/kysely';
import { migrator } from '@c15t/backend/db/migrator';
import { DB } from '@c15t/backend/db/schema';
import { Hono } from 'hono';
import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';

const [, , host, port] = process.argv;
const pool = new pg.Pool({ host, user: 'postgres', database: 'c15t' });
const adapter = kyselyAdapter({ db: new Kysely({ dialect: new PostgresDialect({ pool }) }), provider: 'postgresql' });
const migration = await migrator({ db: DB.client(adapter), schema: 'latest' });
await migration.execute();

const c15t = c15tInstance({
  appName: 'peer',
  basePath: '/api',
  trustedOrigins: ['http://127.0.0.1'],
  adapter,
  logger: { level: 'error' },
});
const app = new Hono();
app.all('/api/*', (context) => c15t.handler(context.req.raw));
serve({ fetch: app.fetch, hostname: '127.0.0.1', port: Number(port) });
