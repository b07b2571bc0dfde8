// What the services answer, as far as it is shown. The contracts: docs/http-api/.

import type { Frame } from '../pure/worst';

export type Page<T> = { items: T[]; next_cursor: string | null };
export type Rational = { num: number; den: number };

export type Track = {
  name: string; kind: 'video' | 'audio'; codec: string; width: number | null; height: number | null;
  frame_rate: Rational | null; channels: number | null; sample_rate_hz: number | null; language: string | null;
  title: string | null; average_bandwidth_bps: number; peak_bandwidth_bps: number; size_bytes: number;
};
export type Probe = {
  container: string; duration_ms: number; bitrate_bps: number;
  video: { codec: string; width: number; height: number; frame_rate: Rational | null; pixel_format: string; interlaced: boolean } | null;
  audio: { codec: string; channels: number; sample_rate_hz: number; language: string | null } | null;
};
export type Asset = {
  id: string; title: string; state: 'registered' | 'ready' | 'failed'; error: string | null; revision: number;
  created_at: string; updated_at: string; deleted_at?: string | null; protected: boolean; encryption: string | null; probe: Probe | null;
  source: { key: string; file_name: string | null; sha256: string; size_bytes: number };
  record?: AssetRecord; custom?: Record<string, unknown>;
  subtitles: { id: string; language: string; role: string; title: string | null }[];
  version: { name: string; chain: string; created_at: string; job_id: string | null; tracks: Track[] } | null;
};

export type Named = { name: string };
/** A chapter: seconds of the asset. */
export type Clip = { name?: string; startOffset?: number; endOffset?: number | null };
export type AssetRecord = {
  description?: string; creator?: Named[]; director?: Named[]; actor?: Named[]; keywords?: string[]; genre?: string[]; inLanguage?: string[];
  license?: string; copyrightNotice?: string; datePublished?: string; contentLocation?: Named[]; hasPart?: Clip[];
};
export type Change = { revision: number; action: string; at: string; by: string; change?: Record<string, unknown> | null; detail?: string | null };

export type ChainStage = { name: string; type: string; inputs: string[]; gates?: string[] };
export type Chain = { name: string; description: string };
export type ChainDetail = Chain & { stages: ChainStage[] };
export type GateResult = { track: string; gate: string; measured: number; passed: boolean };
export type StageProgress = {
  name: string; type: string; state: 'waiting' | 'running' | 'checking' | 'done' | 'failed' | 'cancelled'; progress: number;
  started_at: string | null; finished_at: string | null; gates?: GateResult[]; reused?: string[];
};
export type Job = {
  id: string; asset_id: string; chain: string; state: 'queued' | 'running' | 'succeeded' | 'failed' | 'cancelled';
  stage: string; progress: number; attempt: number; error: string | null; created_at: string; started_at: string | null;
  finished_at: string | null; stages?: StageProgress[]; tracks?: Track[]; version?: string | null; parameters?: Record<string, string>;
};

export type Channel = {
  id: string; title: string; state: 'idle' | 'live' | 'ended'; key: string | null; created_at: string; window_s: number;
  segment_ms: number; part_ms: number;
};
export type Doors = { rtmp: string | null; srt: string | null; whip: boolean; push: boolean };

export type ActivityKind = 'retried' | 'hedged' | 'resumed' | 'found' | 'missed';
export type ActivityEvent = {
  number: number; at_unix_ms: number; kind: ActivityKind; name: string; from_site: string | null; from_endpoint: string | null;
  to_site: string | null; to_endpoint: string | null; why: string;
};
export type Activity = {
  totals: { counts: Partial<Record<ActivityKind, number>>; multicast: { answers: number; members: number; body_bytes: number; saved_bytes: number } } | null;
  events: ActivityEvent[]; last: number;
};
export type SignInDoors = { oidc: { issuer: string; begin: string } | null };
export type Endpoint = {
  name: string; endpoint: string; address: string; site: string; state: 'booted' | 'connected' | 'draining' | 'killed';
  expires_in_ms: number; weight: number; capacity: number | null;
};
export type Standing = {
  name: string; endpoint: string; address: string; site: string; open: number; answers: number | null; cost_us: number; latency_us: number | null;
  state: 'serving' | 'booted' | 'draining' | 'killed' | 'full' | 'resting' | 'hung'; refused: string | null;
};
export type Peer = { router: string; site: string; state: string; distance_ms: number | null; endpoints: number; error: string | null };
export type ServicePath = { name: string; functions: { name: string; site: string | null; endpoints: number }[] };

export type DeployedEndpoint = {
  function: string; endpoint: string; cluster: string; site: string; image: string; names: string[]; desired: string; state: string;
  failures: number; problem?: string; address: string | null;
};
export type Deployment = {
  sfc: string; sfci: string; description: string; is_leaving: boolean; is_settled: boolean; endpoints: DeployedEndpoint[];
};
export type Decision = { id: number; at_unix_ms: number; subject: string; action: string; reason: string };
export type Plan = {
  places: { function: string; cluster: string; begins: string; reason: string }[]; cost: number; bound: number; is_exact: boolean;
  clusters: { cluster: string; site: string; cpus: number; memory_bytes: number; disk_bytes: number }[];
};

export type SurrogateStats = {
  surrogate: string; names: string[];
  total: { hits: number; collapsed: number; misses: number; fetches: number; sent_bytes: number; fetched_bytes: number; errors: number };
};

export type Verdict = { gate: string; measured?: number | null; passed: boolean; why?: string | null };
type Measuring = {
  id: string; state: Job['state']; progress: number; attempt: number; error?: string | null; gates: Verdict[]; passed?: boolean | null;
  created_at: string; started_at?: string | null; finished_at?: string | null;
};
export type Pooled = { mean: number; harmonic_mean: number; min: number; p1: number; p5: number; p10: number; max: number };
export type ComparisonJob = Measuring & { reference: string; distorted: string; metrics: string[]; result?: {
  alignment: { confidence: number; offset_ms: number; dropped_frames: number; repeated_frames: number };
  columns: { name: string; pooled: Pooled; worst?: Frame[] }[]; notes: string[]; scored_frames: number;
} | null };
type Spans = { count: number; total_s: number; longest_s: number };
export type InspectionJob = Measuring & { media: string; result?: {
  container: string; notes?: string[]; not_measured?: { detector: string; why: string }[];
  video?: { codec: string; width: number; height: number; frames: number; decode_errors: number; black: Spans; freeze: Spans; si?: Range | null; ti?: Range | null } | null;
  audio?: { codec: string; channels: number; silence: Spans; clipping: { runs: number }; loudness?: { integrated_lufs?: number | null; range_lu?: number | null; true_peak_dbtp?: number | null } | null } | null;
} | null };
type Range = { min: number; mean: number; max: number };

export type CaseResult = { case: string; outcome: 'passed' | 'failed' | 'not_measured'; time_s: number; must_fail?: boolean; said?: string; gates?: Verdict[] };
export type SuiteRun = { id: string; suite: string; begun_at: string; time_s: number; tool: string; cases: CaseResult[]; received_at: string };
export type Suite = { suite: string; runs: number; last_at: string; passed: number; failed: number; not_measured: number };

/** Who looks, and what they may do. */
export type Session = { tenant: string; subject: string; scopes: string[] };

export type Deed = { at: string; by?: string | null };
export type Score = {
  job_id: string; measure: string; media: string; version?: string; track?: string; reference?: string; figures: Record<string, number>;
  gates: { gate: string; measured: number | null; passed: boolean }[]; tools: string; measured_at: string;
};
/** Where an asset's bytes came from, and what was made of them. */
export type Provenance = {
  source: { file_name: string | null; sha256: string; size_bytes: number }; registered: Deed; same_source: string[]; scores?: Score[];
  versions: {
    name: string; chain: string; job_id: string | null; tracks: Track[]; plays: boolean; published: Deed;
    conditioning?: { encoders: string[]; tools: string; parameters: Record<string, string> } | null;
  }[];
};
