// A text with numbered lines, of which some are marked.

import { useEffect, useRef } from 'preact/hooks';
import { type Finding, offset } from '../pure/findings';

/** `goto` sets the cursor where a finding is; the same finding anew sets it again. */
export function Editor({ label, text, onText, marked, goto }: {
  label: string; text: string; onText: (text: string) => void; marked: readonly Finding[]; goto: Finding | null;
}) {
  const area = useRef<HTMLTextAreaElement>(null);
  const gutter = useRef<HTMLOListElement>(null);
  const count = text.split('\n').length;
  const follow = () => { gutter.current!.scrollTop = area.current!.scrollTop; };
  useEffect(() => {
    if (goto?.line == null || !area.current) return;
    const at = offset(area.current.value, goto.line, goto.column ?? 1);
    area.current.focus();
    area.current.setSelectionRange(at, at);
    const height = area.current.scrollHeight / Math.max(1, count);
    area.current.scrollTop = (goto.line - 4) * height;
    follow();
  }, [goto]);
  return (
    <div class="editor">
      <ol ref={gutter} aria-hidden="true">
        {Array.from({ length: count }, (_, at) => {
          const found = marked.filter(({ line }) => line === at + 1);
          return <li key={at} class={found.length > 0 ? 'marked' : undefined} title={found.map(({ reason }) => reason).join('\n') || undefined}>{at + 1}</li>;
        })}
      </ol>
      <textarea ref={area} aria-label={label} spellcheck={false} autocapitalize="off" autocomplete="off" wrap="off" rows={Math.min(28, Math.max(8, count))}
        value={text} onInput={(event) => onText(event.currentTarget.value)} onScroll={follow} aria-invalid={marked.length > 0} />
    </div>
  );
}
