// Sends what a player tells of itself to the edge at the URL that is given, in every way that CTA-5004 and CTA-5004-A know. What is
// sent is written by @svta/cml-cmcd, and held to be valid by its own validators first.

import {
  CMCD_MIME_TYPE, encodeCmcd, toCmcdHeaders, toCmcdQuery, validateCmcdEventReport, validateCmcdHeaders, validateCmcdRequest
} from '@svta/cml-cmcd'

const edge = process.argv[2]
const first = { sid: 'session-1', cid: 'film', bl: 2100, mtp: 5000, br: 3200, bs: true, ot: 'v', sf: 'h', st: 'v' }
const second = { ...first, sid: 'session-2', bl: [4100], mtp: [7000], br: [4800], bs: false, msd: 350, sta: 'p', v: 2 }

const held = result => {
  if (!result.valid) throw new Error(JSON.stringify(result.issues))
}
const get = async (path, headers = {}) => {
  const url = edge + path
  held(validateCmcdRequest({ url, headers }))
  const answer = await fetch(url, { headers })
  if (!answer.ok) throw new Error(`${answer.status} for ${path}`)
  await answer.arrayBuffer()
}

for (const [data, options] of [[first, { version: 1 }], [second, { version: 2, reportingMode: 'request' }]]) {
  await get('/film/1.m4s?' + toCmcdQuery(data, options))
  const headers = toCmcdHeaders(data, options)
  held(validateCmcdHeaders(headers, options))
  await get('/film/1.m4s', headers)
}

const events = [
  { ...second, sid: 'session-3', e: 'ps', sta: 'r', ts: 1790000000000, sn: 0 },
  { ...second, sid: 'session-3', e: 'e', ec: ['E-1'], ts: 1790000000100, sn: 1 }
]
const body = events.map(event => encodeCmcd(event, { version: 2, reportingMode: 'event' })).join('\n')
const report = { url: edge + '/collector', method: 'POST', headers: { 'Content-Type': CMCD_MIME_TYPE }, body }
held(validateCmcdEventReport(report))
const answer = await fetch(report.url, report)
if (answer.status !== 204) throw new Error(`${answer.status} for events`)
