//! An endpoint's body, whichever way it was asked: over a line, or through one of hyper's clients.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::line::Flow;
use super::upstream::Cause;

/// An endpoint's body.
#[derive(Debug)]
pub(super) enum Source {
    Line(Flow),
    General(Incoming),
}

impl Body for Source {
    type Data = Bytes;
    type Error = Cause;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cause>>> {
        match &mut *self {
            Self::Line(flow) => Pin::new(flow).poll_frame(cx).map_err(Cause::from),
            Self::General(body) => Pin::new(body).poll_frame(cx).map_err(Cause::from),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Line(flow) => flow.is_end_stream(),
            Self::General(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Line(flow) => flow.size_hint(),
            Self::General(body) => body.size_hint(),
        }
    }
}
