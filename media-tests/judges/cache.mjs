// Runs the public tests of HTTP caches (npm http-cache-tests) against one cache: starts the suite's own origin and prints its port,
// reads the cache's URL from a line of standard input, and prints what came of each test as JSON. The suite's configuration and
// state go to the origin directly; what is tested goes through the cache.

import http from 'node:http'
import readline from 'node:readline'
import fetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import suites from 'http-cache-tests/tests/index.mjs'
import handleConfig from 'http-cache-tests/server/handle-config.mjs'
import handleState from 'http-cache-tests/server/handle-state.mjs'
import handleTest from 'http-cache-tests/server/handle-test.mjs'

const handlers = { config: handleConfig, state: handleState, test: handleTest }
const report = console.log
// The handlers warn on standard output, which is for results.
console.log = console.error

const server = http.createServer((request, response) => {
  const [, name, ...rest] = new URL(request.url, 'http://origin').pathname.split('/')
  const handler = handlers[name]
  if (handler) return handler(rest, request, response)
  response.writeHead(404).end()
})
await new Promise(resolve => server.listen(0, '127.0.0.1', resolve))
const origin = `http://127.0.0.1:${server.address().port}`
report(server.address().port)

const lines = readline.createInterface({ input: process.stdin })[Symbol.asyncIterator]()
const cache = (await lines.next()).value

const through = (url, init) => {
  const path = url.slice(cache.length)
  return fetch(path.startsWith('/test/') ? url : origin + path, init)
}
await runTests(suites, through, false, cache)

const results = getResults()
const tests = suites.flatMap(suite => suite.tests.map(test => ({ suite: suite.id, ...test })))
const byId = new Map(tests.map(test => [test.id, test]))
// As the suite's own page shows it: a test counts only if those that it depends on hold.
const outcome = id => {
  const { kind = 'required', depends_on = [] } = byId.get(id)
  const result = results[id]
  if (depends_on.some(other => !['pass', 'yes'].includes(outcome(other)))) return 'depends'
  if (result === true) return kind === 'check' ? 'yes' : 'pass'
  if (result[0] === 'Setup') return result[1] === 'retry' ? 'retry' : 'setup'
  return kind === 'check' ? 'no' : 'fail'
}
report(JSON.stringify(tests.filter(test => test.id in results).map(({ id, suite, kind = 'required' }) => (
  { id, suite, kind, outcome: outcome(id), message: results[id] === true ? '' : results[id][1] }
))))
process.exit(0)
