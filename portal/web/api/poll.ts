// Asks again and again while somebody looks.

import { useEffect, useRef, useState } from 'preact/hooks';
import { asked } from './http';

export type Polled<T> = { value: T | null; trouble: string; again: () => void };

/**
 * What `question` answers, asked anew every `every_ms` while the page is seen and no token is missing, and when a `key` changes.
 * One is open at a time: who answers slowly is asked less often.
 */
export function usePoll<T>(question: () => Promise<T>, every_ms: number, ...keys: unknown[]): Polled<T> {
  const [value, setValue] = useState<T | null>(null);
  const [trouble, setTrouble] = useState('');
  const latest = useRef(question);
  // The question that counts: answers to earlier ones are dropped.
  const turn = useRef(0);
  const open = useRef(false);
  latest.current = question;
  const again = () => {
    const mine = (turn.current += 1);
    open.current = true;
    const told = (tell: () => void) => {
      if (mine !== turn.current) return;
      open.current = false;
      tell();
    };
    latest.current().then(
      (answer) => told(() => { setValue(answer); setTrouble(''); }),
      (error: Error) => told(() => setTrouble(error.message)),
    );
  };
  useEffect(() => {
    again();
    const timer = setInterval(() => { if (!open.current && !document.hidden && !asked.value) again(); }, every_ms);
    return () => { turn.current += 1; open.current = false; clearInterval(timer); };
  }, [every_ms, asked.value, ...keys]);
  return { value, trouble, again };
}
