// Templates: looked at while they are typed, planned, deployed, and watched on their way.

import { useEffect, useRef, useState } from 'preact/hooks';
import standby_alerts from '../../../templates/services/edge-standby/alerts.yaml?raw';
import standby from '../../../templates/services/edge-standby/template.yaml?raw';
import vod from '../../../templates/services/vod/template.yaml?raw';
import { Refusal, send } from '../api/http';
import type { Deployment, Plan } from '../api/types';
import { Deployments } from '../parts/deployments';
import { Editor } from '../parts/editor';
import { Equivalent } from '../parts/equivalent';
import { May } from '../parts/may';
import { request } from '../pure/commands';
import { type Finding, findings, inputs } from '../pure/findings';
import { bytes, quoted } from '../pure/words';

const PAUSE_MS = 400;
const FILE_MAX_BYTES = 1 << 20;
const SHIPPED: Record<string, { template: string; alerts: string }> = {
  vod: { template: vod, alerts: '' }, 'edge-standby': { template: standby, alerts: standby_alerts },
};

type Verdict = { plan: Plan | null; found: Finding[]; trouble: string };
const NONE: Verdict = { plan: null, found: [], trouble: '' };

export function Templates() {
  const [template, setTemplate] = useState(vod);
  const [alerts, setAlerts] = useState('');
  const [given, setGiven] = useState('');
  const [verdict, setVerdict] = useState<Verdict>(NONE);
  const [goto, setGoto] = useState<Finding | null>(null);
  const [deployed, setDeployed] = useState('');
  const [busy, setBusy] = useState(false);
  const body = { template, inputs: inputs(given), ...(alerts.trim() === '' ? {} : { alerts }) };
  useJudge(template, JSON.stringify(body), () => send('POST', '/~orchestrator/plans', body).then((answer) => answer.json() as Promise<Plan>), setVerdict);
  const deploy = async () => {
    setBusy(true);
    try {
      const made = await (await send('POST', '/~orchestrator/deployments', body)).json() as Deployment;
      setDeployed(`${made.sfc} / ${made.sfci} is on its way; see below.`);
    } catch (error) {
      setDeployed('');
      setVerdict(refused(error as Error));
    } finally {
      setBusy(false);
    }
  };
  const open = async (file: File | undefined) => {
    if (!file) return;
    if (file.size > FILE_MAX_BYTES) setVerdict({ ...NONE, trouble: `${file.name} is longer than ${bytes(FILE_MAX_BYTES)}: no template.` });
    else setTemplate(await file.text());
  };
  const own = verdict.found.filter(({ file }) => file === null);
  return (
    <>
      <section aria-labelledby="template-title">
        <div class="row spread">
          <div><h2 id="template-title">Template</h2><p class="quiet">What is to run, where, and what becomes of it under load. It is looked at while you type.</p></div>
          <div class="row">
            <div class="choices" role="group" aria-label="Begin with">
              {Object.entries(SHIPPED).map(([name, shipped]) => (
                <button key={name} type="button" aria-pressed={template === shipped.template} onClick={() => { setTemplate(shipped.template); setAlerts(shipped.alerts); }}>{name}</button>
              ))}
            </div>
            <label class="button">Open a file<input class="unseen" type="file" accept=".yaml,.yml" onChange={(event) => { void open(event.currentTarget.files?.[0]); event.currentTarget.value = ''; }} /></label>
          </div>
        </div>
        <div class="columns">
          <div class="stage">
            <Editor label="Template" text={template} onText={setTemplate} marked={own} goto={goto} />
            <details open={alerts !== ''}>
              <summary>Alerts that its policies wait for</summary>
              <textarea class="code" aria-label="Alerts" rows={10} spellcheck={false} wrap="off" value={alerts} onInput={(event) => setAlerts(event.currentTarget.value)} />
            </details>
            <label class="stage"><span>Inputs, a <code>NAME=VALUE</code> a line</span>
              <textarea class="code" rows={2} spellcheck={false} value={given} onInput={(event) => setGiven(event.currentTarget.value)} /></label>
          </div>
          <div class="stage" aria-live="polite">
            {verdict.trouble && <p class="notice" role="status">{verdict.trouble}</p>}
            {verdict.found.length > 0 && (
              <ul class="plain findings" aria-label="What is wrong">
                {verdict.found.map((one, at) => (
                  <li key={at}>{one.line === null || one.file !== null ? <span>{one.file && `${one.file}, line ${one.line}: `}{one.reason}</span>
                    : <button type="button" onClick={() => setGoto({ ...one })}><b>Line {one.line}</b> {one.reason}</button>}</li>
                ))}
              </ul>
            )}
            {verdict.plan && <Planned plan={verdict.plan} />}
            <div class="row">
              <May><button type="button" class="main" disabled={busy || verdict.plan === null} onClick={deploy}>Deploy</button></May>
              <span class="quiet" role="status">{deployed}</span>
            </div>
            <Equivalent flame={`template deploy template.yaml${alerts.trim() === '' ? '' : ' --alerts alerts.yaml'}${Object.entries(body.inputs).map(([name, value]) => ` --input=${quoted(`${name}=${value}`)}`).join('')} --wait`}
              more={[{ what: 'Look at it', flame: `template validate template.yaml${alerts.trim() === '' ? '' : ' --alerts alerts.yaml'}` }, { what: 'Plan', flame: `template plan template.yaml${alerts.trim() === '' ? '' : ' --alerts alerts.yaml'}`, curl: `${request('POST', '/~orchestrator/plans', undefined, { 'content-type': 'application/json' })} -d @- <<'END'\n${JSON.stringify(body)}\nEND` }, { what: 'By request', curl: `${request('POST', '/~orchestrator/deployments', undefined, { 'content-type': 'application/json' })} -d @- <<'END'\n${JSON.stringify(body)}\nEND` }]} />
          </div>
        </div>
      </section>
      <Deployments />
    </>
  );
}

function Planned({ plan }: { plan: Plan }) {
  return (
    <div class="scroll" tabIndex={0} role="group" aria-label="Where it would go">
      <table>
        <caption>Where it would go{plan.is_exact ? '; no placement is cheaper' : `; at most ${(100 * (plan.cost / plan.bound - 1)).toFixed(0)} % above the cheapest`}</caption>
        <thead><tr><th scope="col">Function</th><th scope="col">Cluster</th><th scope="col">Begins</th><th scope="col">Why there</th></tr></thead>
        <tbody>{plan.places.map(({ function: name, cluster, begins, reason }) => <tr key={name}><th scope="row">{name}</th><td>{cluster}</td><td>{begins}</td><td>{reason}</td></tr>)}</tbody>
      </table>
      <table>
        <caption>What would be left</caption>
        <thead><tr><th scope="col">Cluster</th><th scope="col">Processors</th><th scope="col">Memory</th><th scope="col">Disk</th></tr></thead>
        <tbody>{plan.clusters.map(({ cluster, cpus, memory_bytes, disk_bytes }) => <tr key={cluster}><th scope="row">{cluster}</th><td>{cpus}</td><td>{bytes(memory_bytes)}</td><td>{bytes(disk_bytes)}</td></tr>)}</tbody>
      </table>
    </div>
  );
}

/** Asks a moment after the last change; an answer to an earlier text is dropped. */
function useJudge(template: string, key: string, judge: () => Promise<Plan>, tell: (verdict: Verdict) => void) {
  const turn = useRef(0);
  useEffect(() => {
    const mine = (turn.current += 1);
    if (template.trim() === '') return tell(NONE);
    const told = (verdict: Verdict) => { if (mine === turn.current) tell(verdict); };
    const timer = setTimeout(() => { judge().then((plan) => told({ ...NONE, plan }), (error: Error) => told(refused(error))); }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [key]);
}

function refused(error: Error): Verdict {
  return error instanceof Refusal && error.status === 422 ? { ...NONE, found: findings(error.message) } : { ...NONE, trouble: error.message };
}
