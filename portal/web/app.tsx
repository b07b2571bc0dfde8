// The page around the views: where one goes, and the token where one is wanted.

import { useEffect, useRef, useState } from 'preact/hooks';
import { asked } from './api/http';
import { SESSION, admit, called, doors, enter, isOpen, leave, refused, session } from './api/session';
import type { SignInDoors } from './api/types';
import { Equivalent } from './parts/equivalent';
import { request } from './pure/commands';
import { type Route, type View, read, write } from './pure/route';
import { NOTHING, type Search } from './pure/search';
import { issuerName } from './pure/words';
import { Chains } from './views/chains';
import { Library } from './views/library';
import { Live } from './views/live';
import { Platform } from './views/platform';
import { Quality } from './views/quality';
import { Templates } from './views/templates';

const VIEWS: { view: View; title: string }[] = [
  { view: 'library', title: 'Library' }, { view: 'live', title: 'Live' }, { view: 'chains', title: 'Chains' },
  { view: 'quality', title: 'Quality' }, { view: 'platform', title: 'Platform' }, { view: 'templates', title: 'Templates' },
];

/** What was opened last, and who opened it. */
type Played = { asset: string | null; by: string };

export function App() {
  const [route, setRoute] = useState<Route>(() => read(location.hash));
  useEffect(() => {
    const follow = () => {
      // Also a link with a token that is opened in this tab: it is no name of an asset.
      void admit();
      setRoute(read(location.hash));
    };
    addEventListener('hashchange', follow);
    return () => removeEventListener('hashchange', follow);
  }, []);
  // What plays goes on playing, in a corner, while one looks at something else.
  const who = viewer();
  const [played, setPlayed] = useState<Played>({ asset: route.asset, by: who });
  const setPlaying = (asset: string | null) => setPlayed({ asset, by: who });
  // Of another viewer nothing plays on. Who is signed in is asked after the page has come: until then it is whoever opened it.
  const playing = played.by === '' || played.by === who ? played.asset : null;
  const [search, setSearch] = useState(route.search ?? NOTHING);
  useEffect(() => {
    if (route.view !== 'library') return;
    setPlaying(route.asset);
    setSearch(route.search ?? NOTHING);
  }, [route]);
  const last = useRef('');
  useEffect(() => {
    if (who === '') return;
    const isAnother = last.current !== '' && last.current !== who;
    last.current = who;
    if (isAnother) forget();
    else setPlayed((played) => (played.by === '' ? { ...played, by: who } : played));
  }, [who]);
  // The address too says what somebody has looked at; the way back does not lead there.
  const forget = () => {
    setPlaying(null);
    history.replaceState(null, '', write({ view: 'library', asset: null }));
    setRoute(read(location.hash));
  };
  const signOut = () => leave().then(forget, (error: Error) => alert(`You are still signed in: ${error.message}`));
  // Typing is no way that one would go back; a choice is one.
  const look = (search: Search, isTyped: boolean) => {
    // The address is ahead of what is drawn.
    const now = read(location.hash);
    if (now.view !== 'library') return;
    const address = write({ view: 'library', asset: now.asset, search });
    if (!isTyped) location.hash = address;
    else {
      history.replaceState(null, '', address);
      setRoute(read(address));
    }
  };
  const docked = route.view !== 'library';
  useEffect(() => { document.title = `${VIEWS.find(({ view }) => view === route.view)!.title} · FLAME`; }, [route.view]);
  return (
    <>
      <header class="bar">
        <h1><a class="brand" href="#/library"><img src="/portal/flame.svg" alt="" width="28" height="28" />FLAME</a></h1>
        <nav aria-label="Views">
          {VIEWS.map(({ view, title }) => (
            <a key={view} href={write({ view, asset: docked && view === 'library' ? playing : null, search })} aria-current={view === route.view ? 'page' : undefined}>{title}</a>
          ))}
        </nav>
        {session.value && !isOpen(session.value) && <Who signOut={signOut} />}
      </header>
      {/* Another viewer's page is another page: nothing of what one has seen is left to the next. */}
      <main key={who} class={docked && playing !== null ? 'beside' : undefined}>
        {/* Whose sign-in has ended sees nothing that was still on its way. */}
        {asked.value ? <Entry /> : <>
          <Library chosen={docked ? playing : route.asset} docked={docked} search={search} onSearch={look} onClose={() => setPlaying(null)} />
          {route.view === 'live' && <Live />}
          {route.view === 'chains' && <Chains pair={route.pair ?? null} />}
          {route.view === 'quality' && <Quality key={route.of ?? route.measured?.id ?? JSON.stringify(route.trend)} of={route.of ?? ''} measured={route.measured ?? null} trend={route.trend ?? null} />}
          {route.view === 'platform' && <Platform range={route.range ?? null} span={route.span ?? null} chain={route.chain ?? null} />}
          {route.view === 'templates' && <Templates />}
        </>}
      </main>
      <footer>
        {session.value && !isOpen(session.value) && <Equivalent more={[{ what: 'Sign out, with the cookie of signing in', curl: `-b flame.cookies -c flame.cookies ${request('DELETE', SESSION)}` }]} />}
        Contracts: {['router', 'metadata', 'ingest', 'transcode', 'streaming', 'vcdn', 'quality', 'clmc', 'orchestrator'].map((name) => (
        <a key={name} href={name === 'router' ? '/openapi.json' : `/~${name}/openapi.json`}>{name}</a>
      ))}</footer>
    </>
  );
}

/** Who looks; nobody where it has to be said first. */
function viewer(): string {
  return session.value && !asked.value ? JSON.stringify([session.value.tenant, session.value.subject]) : '';
}

function Who({ signOut }: { signOut: () => void }) {
  const { scopes } = session.value!;
  return (
    <span class="who">
      {called(session.value!)}{!scopes.includes('write') && <span class="tag">read only</span>}
      <button type="button" onClick={signOut}>Sign out</button>
    </span>
  );
}

function Entry() {
  const [text, setText] = useState('');
  const [problem, setProblem] = useState('');
  const [door, setDoor] = useState<SignInDoors['oidc']>(null);
  useEffect(() => { void doors().then(({ oidc }) => setDoor(oidc), () => {}); }, []);
  const submit = () => enter(text).then(() => setProblem(''), (error: Error) => setProblem(error.message));
  return (
    <form class="notice stage" onSubmit={(event) => { event.preventDefault(); void submit(); }}>
      {refused.value && <span role="alert">{refused.value}</span>}
      {door && <span class="row"><a class="button" href={door.begin}>Sign in at {issuerName(door.issuer)}</a></span>}
      <label for="token">{door ? 'Or with a token' : 'The services want to know who you are'}. <code>flame token link</code> makes a link that signs you in, <code>flame token issue</code> a token.</label>
      <span class="row">
        <input id="token" type="password" autocomplete="off" required value={text} onInput={(event) => setText(event.currentTarget.value)} />
        <button>Sign in</button>
      </span>
      {problem && <span role="alert">{problem}</span>}
      <Equivalent flame="token link" more={[{ what: 'Sign in, and keep the cookie', curl: `-c flame.cookies ${request('POST', SESSION)} -H "authorization: Bearer $FLAME_TOKEN"` }]} />
    </form>
  );
}
