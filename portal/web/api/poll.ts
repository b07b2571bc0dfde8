// Asks again and again while somebody looks.

import { useEffect, useRef, useState } from 'preact/hooks';
import { asked } from './http';

export type Polled<T> = { value: T | null; trouble: string; again: () => void };

/** What `question` answers, asked anew every `every_ms` while the page is seen and no token is missing, and when a `key` changes. */
export function usePoll<T>(question: () => Promise<T>, every_ms: number, ...keys: unknown[]): Polled<T> {
  const [value, setValue] = useState<T | null>(null);
  const [trouble, setTrouble] = useState('');
  const latest = useRef(question);
  const turn = useRef(0);
  latest.current = question;
  const again = () => {
    const mine = (turn.current += 1);
    latest.current().then(
      (answer) => { if (mine === turn.current) { setValue(answer); setTrouble(''); } },
      (error: Error) => { if (mine === turn.current) setTrouble(error.message); },
    );
  };
  useEffect(() => {
    again();
    const timer = setInterval(() => { if (!document.hidden && !asked.value) again(); }, every_ms);
    return () => { turn.current += 1; clearInterval(timer); };
  }, [every_ms, asked.value, ...keys]);
  return { value, trouble, again };
}
