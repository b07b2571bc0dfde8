//! One ladder under way: the body of a request goes to a child, and what the child makes is the answer.
//!
//! Both directions are driven by who reads the answer; nothing is read ahead of what the child takes, and nothing made ahead of what is
//! taken from here. It ends when the source does, and the child has given out the rest; when either side breaks, so does the other.

use std::io;
use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream};
use bytes::{Buf, Bytes, BytesMut};
use flame_api::live::NewLadder;
use flame_cmaf::relay::{Message, Messages};
use flame_media_child::LiveChild;
use flame_media_child::live::MESSAGE_MAX_BYTES;
use flame_service_host::problem::chain;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::owing::Owing;
use super::{LadderError, Ladders, Place, plan};
use crate::metrics::Open;

/// Octets that are read of the child at once.
const READ_BYTES: usize = 64 << 10;
/// The most octets of an init segment, and of the description.
const INIT_MAX_BYTES: usize = 1 << 20;

/// See the module.
struct Session {
    channel: Uuid,
    child: LiveChild,
    body: BodyDataStream,
    /// What the child has not taken yet.
    pending: Bytes,
    /// What the child said before the answer began.
    first: Option<Bytes>,
    is_over: bool,
    owing: Owing,
    idle: Duration,
    stuck: Duration,
    stop: CancellationToken,
    _place: Place,
    _open: Open,
}

/// What happened next.
enum Next {
    Made(Bytes),
    /// The child has closed its output.
    Closed,
    Broke(io::Error),
    GoOn,
}

// === impl Ladders ===

impl Ladders {
    /// Makes a ladder of what the body of a tenant brings. Returned as soon as the child has said what it makes.
    ///
    /// # Errors
    /// [`LadderError`].
    pub async fn climb(&self, tenant: &str, body: Body) -> Result<Body, LadderError> {
        let climbed = self.begin(tenant, body).await;
        if let Err(error) = &climbed {
            self.0.metrics.refused.with_label_values(&[error.reason()]).inc();
        }
        climbed
    }

    async fn begin(&self, tenant: &str, body: Body) -> Result<Body, LadderError> {
        let (config, patience) = (&self.0.config, self.0.config.patience.0);
        let place = self.place(tenant)?;
        let mut body = body.into_data_stream();
        let read = timeout(patience, head(&mut body)).await.map_err(|_| LadderError::Silent(patience))?;
        let (new, init, rest) = read?;
        let plan = plan::of(&new, config)?;
        let json = serde_json::to_vec(&plan).map_err(LadderError::Head)?;
        let mut child = LiveChild::start(&self.0.children)?;
        let opening = [Message::Head(json.into()).encode(), Message::Init { track: 0, bytes: init }.encode()].concat();
        let mut first = BytesMut::with_capacity(READ_BYTES);
        let started = async {
            if let Some(stdin) = &mut child.stdin {
                stdin.write_all(&opening).await?;
            }
            child.stdout.read_buf(&mut first).await
        };
        let started = timeout(patience, started).await.map_err(|_| LadderError::Silent(patience))?;
        if !matches!(started, Ok(length) if length > 0) {
            child.ended().await?;
            return Err(LadderError::Pipe(started.err().unwrap_or_else(|| io::ErrorKind::UnexpectedEof.into())));
        }
        let rungs: Vec<_> = plan.rungs.iter().map(|rung| rung.name.as_str()).collect();
        tracing::info!(channel = %new.channel, ?rungs, pid = child.pid(), "a live ladder begins");
        let session = Session {
            channel: new.channel,
            child,
            body,
            pending: rest,
            first: Some(first.freeze()),
            is_over: false,
            owing: Owing::new(Instant::now()),
            idle: config.idle.0,
            stuck: config.stuck.0,
            stop: self.0.stop.clone(),
            _place: place,
            _open: self.0.metrics.open(),
        };
        let made = unfold(Some(session), |session| async move {
            let mut session = session?;
            match session.made().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(session))),
                Ok(None) => None,
                Err(error) => {
                    tracing::warn!(channel = %session.channel, error = chain(&error), "a live ladder broke off");
                    Some((Err(error), None))
                }
            }
        });
        Ok(Body::from_stream(made))
    }
}

/// The description and the init segment, and what came behind them.
async fn head(body: &mut BodyDataStream) -> Result<(NewLadder, Bytes, Bytes), LadderError> {
    let mut messages = Messages::new(INIT_MAX_BYTES);
    let mut new = None;
    loop {
        match (messages.message()?, &new) {
            (Some(Message::Head(json)), None) => new = Some(serde_json::from_slice(&json).map_err(LadderError::Head)?),
            (Some(Message::Init { bytes, .. }), Some(_)) => {
                return match new {
                    Some(new) => Ok((new, bytes, messages.rest())),
                    None => Err(LadderError::Order("the description comes first")),
                };
            }
            (Some(_), _) => return Err(LadderError::Order("the description comes first, and then the init segment")),
            (None, _) => match body.next().await {
                Some(octets) => messages.push(&octets.map_err(LadderError::Broken)?),
                None => return Err(LadderError::Order("it ended before the init segment")),
            },
        }
    }
}

// === impl Session ===

impl Session {
    /// The next octets that were made; `None` at the end.
    async fn made(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        loop {
            match self.next().await {
                Next::Made(bytes) => return Ok(Some(bytes)),
                Next::Broke(error) => return Err(error),
                Next::GoOn => {}
                Next::Closed => {
                    self.child.ended().await.map_err(io::Error::other)?;
                    let is_whole = self.is_over;
                    return if is_whole {
                        Ok(None)
                    } else {
                        Err(io::Error::other("the media process ended before its source"))
                    };
                }
            }
        }
    }

    async fn next(&mut self) -> Next {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        let Self { child: LiveChild { stdin, stdout, .. }, body, pending, is_over, idle, stuck, stop, .. } = self;
        let owing = &mut self.owing;
        let due = owing.due(*stuck);
        let overdue = async {
            match due {
                Some(due) => sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        let wants_more = pending.is_empty() && !*is_over;
        let feed = async {
            match stdin {
                Some(stdin) => stdin.write(pending).await,
                None => std::future::pending().await,
            }
        };
        // What is given up here has taken nothing. What was made is taken first: it is not overdue.
        tokio::select! {
            biased;
            read = stdout.read_buf(&mut buffer) => match read {
                Ok(0) => Next::Closed,
                Ok(_) => {
                    owing.made();
                    Next::Made(buffer.freeze())
                }
                Err(error) => Next::Broke(error),
            },
            // A child that has gone says why at the end of its output.
            written = feed, if !pending.is_empty() => {
                match written {
                    Ok(length) => pending.advance(length),
                    Err(_) => (*pending, *stdin) = (Bytes::new(), None),
                }
                Next::GoOn
            }
            octets = timeout(*idle, body.next()), if wants_more => match octets {
                Ok(Some(Ok(octets))) => {
                    *pending = octets;
                    owing.came(Instant::now());
                    Next::GoOn
                }
                Ok(None) => {
                    (*is_over, *stdin) = (true, None);
                    owing.over(Instant::now());
                    Next::GoOn
                }
                Ok(Some(Err(error))) => Next::Broke(io::Error::other(error)),
                Err(_) => Next::Broke(io::Error::other(format!("the source brought nothing for {} s", idle.as_secs()))),
            },
            () = overdue => {
                if owing.is_overdue(Instant::now(), pending.is_empty(), *stuck) {
                    let why = format!("the media process made nothing for {} s", stuck.as_secs());
                    return Next::Broke(io::Error::other(why));
                }
                Next::GoOn
            }
            () = stop.cancelled() => Next::Broke(io::Error::other("the service stops")),
        }
    }
}

const _: () = assert!(INIT_MAX_BYTES <= MESSAGE_MAX_BYTES, "the child takes what is taken here");
