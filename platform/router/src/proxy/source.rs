//! An endpoint's body, whichever way it was asked: over a line, through one of hyper's clients, or by multicast.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::line::Flow;
use super::upstream::Cause;
use crate::multicast::Blocks;

/// An endpoint's body.
pub(super) enum Source {
    Line(Flow),
    General(Incoming),
    Multicast(Blocks),
}

// === impl Source ===

impl Source {
    /// Whether more came with its end than it had said, as far as that is seen.
    pub(super) fn has_surplus(&self) -> bool {
        match self {
            Self::Line(flow) => flow.has_surplus(),
            Self::General(_) | Self::Multicast(_) => false,
        }
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match &mut *self {
            Self::Line(flow) => Pin::new(flow).poll_frame(cx).map_err(Cause::from),
            Self::General(body) => Pin::new(body).poll_frame(cx).map_err(Cause::from),
            Self::Multicast(blocks) => blocks.as_mut().poll_next(cx).map_ok(Frame::data).map_err(Cause::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Line(flow) => flow.is_end_stream(),
            Self::General(body) => body.is_end_stream(),
            Self::Multicast(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Line(flow) => flow.size_hint(),
            Self::General(body) => body.size_hint(),
            Self::Multicast(_) => SizeHint::default(),
        }
    }
}
