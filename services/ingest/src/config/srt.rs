//! `[srt]`: the SRT door, and what bounds it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use flame_service_host::config::{Bytes, Span};
use serde::{Deserialize, Serialize};

use super::Contradiction;

/// `[srt]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SrtConfig {
    /// Where encoders publish, by UDP; port 0 takes a free one. It needs no keys of this service: a channel's key is the credential.
    pub listen: SocketAddr,
    /// File with the passphrase that encoders encrypt with, 10 to 79 bytes; without it nothing is taken that is encrypted, with it nothing else.
    pub passphrase: Option<PathBuf>,
    /// Connections at once; more are refused.
    pub max_connections: usize,
    /// What the system keeps of datagrams that were not looked at yet; it may keep less (`net.core.rmem_max`).
    pub receive_buffer: Bytes,
    /// A packet that is missing is waited for this long, or as long as its sender asks for.
    pub latency: Span,
    /// More than this no sender gets.
    pub max_latency: Span,
    /// Packets that are held of a connection while one before them is missing, 1,456 bytes each.
    pub window_packets: usize,
    /// A publisher that sends nothing for this long has gone.
    pub idle: Span,
    /// Longest picture.
    pub max_picture: Bytes,
    /// What waits for streaming, for each track; past it the oldest segment is dropped.
    pub queue: Bytes,
    /// The same in segments.
    pub queue_segments: usize,
    /// Streaming may be away for this long before a publication is given up.
    pub patience: Span,
    /// Time for an answer of streaming.
    pub answer_timeout: Span,
}

/// The port that encoders use, mostly.
const PORT: u16 = 8890;
/// A picture of usual size fits into this.
const PICTURE_MIN_BYTES: u64 = 64 << 10;
/// SRT says latencies in 16 bits of milliseconds.
const LATENCY_MAX: Duration = Duration::from_millis(u16::MAX as u64);
/// Senders have some packets on their way before they hear anything; sequence numbers have 31 bits.
const WINDOW_PACKETS: std::ops::RangeInclusive<usize> = 32..=1 << 20;

// === impl SrtConfig ===

impl SrtConfig {
    /// Whether the values fit together.
    pub(super) fn check(&self) -> Result<(), Contradiction> {
        let wrong = |text: String| Err(Contradiction(text));
        if self.max_picture.0 < PICTURE_MIN_BYTES {
            let least = Bytes(PICTURE_MIN_BYTES);
            return wrong(format!("srt.max_picture is {}, it is {least} at least", self.max_picture));
        }
        if self.queue.0 < 2 * self.max_picture.0 || self.queue_segments < 2 {
            return wrong(
                "srt.queue has room for two pictures at least, and srt.queue_segments is 2 at least".to_owned(),
            );
        }
        if self.latency.0 > self.max_latency.0 || self.max_latency.0 > LATENCY_MAX {
            return wrong("srt.latency is srt.max_latency at most, and that is 65s at most".to_owned());
        }
        if self.max_connections == 0 || !WINDOW_PACKETS.contains(&self.window_packets) {
            let (least, most) = (WINDOW_PACKETS.start(), WINDOW_PACKETS.end());
            return wrong(format!("srt.max_connections is 1 at least, srt.window_packets from {least} to {most}"));
        }
        Ok(())
    }
}

impl Default for SrtConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], PORT)),
            passphrase: None,
            max_connections: 64,
            receive_buffer: Bytes(4 << 20),
            latency: Span(Duration::from_millis(120)),
            max_latency: Span(Duration::from_secs(8)),
            window_packets: 8192,
            idle: Span(Duration::from_secs(5)),
            max_picture: Bytes(8 << 20),
            queue: Bytes(64 << 20),
            queue_segments: 15,
            patience: Span(Duration::from_secs(30)),
            answer_timeout: Span(Duration::from_secs(5)),
        }
    }
}
