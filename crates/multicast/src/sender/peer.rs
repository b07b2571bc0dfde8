//! The sender's end of one member's leg: what is to be said is written, what is said is passed on.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use flame_naming::group::MemberId;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use super::Event;
use crate::leg::{Frame, NUDGES};

/// What a leg may be.
pub trait Leg: AsyncRead + AsyncWrite + Send + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + 'static> Leg for T {}

/// Frames that wait for a leg; a member that is further behind is dismissed. Their bytes are the blocks held anyway.
pub(super) const FRAMES_MAX: usize = 1024;
/// Frames are written together up to so many octets.
const WRITE_BYTES: usize = 64 * 1024;
/// How long a member gets to close its leg after the end.
const FAREWELL: Duration = Duration::from_secs(1);

/// Serves one leg until it breaks, its member leaves, or there is nothing more to say.
pub(super) async fn serve(
    id: MemberId,
    leg: impl Leg,
    already: Bytes,
    frames: mpsc::Receiver<Frame>,
    events: mpsc::Sender<Event>,
) {
    let (read, write) = tokio::io::split(leg);
    tokio::select! {
        () = listen(id, read, BytesMut::from(&already[..]), &events) => {}
        () = tell(write, frames) => {}
    }
    // The conductor may be gone: then nobody is interested.
    let _ = events.send(Event::Left(id)).await;
}

async fn listen(id: MemberId, mut leg: impl AsyncRead + Unpin, mut read: BytesMut, events: &mpsc::Sender<Event>) {
    loop {
        match Frame::read(&mut read) {
            Ok(Some(frame)) => {
                if events.send(Event::Said(id, frame)).await.is_err() {
                    return;
                }
            }
            Ok(None) => match leg.read_buf(&mut read).await {
                Ok(0) => return,
                Ok(_) => {}
                Err(error) => return tracing::debug!(%error, member = id.0, "a member's leg broke"),
            },
            Err(error) => return tracing::warn!(%error, member = id.0, "a member says what is no frame"),
        }
    }
}

/// Ends when the leg breaks, or a moment after everything is said: the member closes before.
async fn tell(mut leg: impl AsyncWrite + Unpin, mut frames: mpsc::Receiver<Frame>) {
    let mut out = BytesMut::new();
    // There is nothing to nudge before the first frame, and what begins a leg is a welcome.
    let mut nudges = [].iter();
    loop {
        let pause = nudges.next().copied();
        let frame = match pause {
            Some(pause) => tokio::time::timeout(pause, frames.recv()).await.unwrap_or(Some(Frame::Nudge)),
            None => frames.recv().await,
        };
        let Some(frame) = frame else { break };
        if frame != Frame::Nudge {
            nudges = NUDGES.iter();
        }
        frame.write(&mut out);
        while out.len() < WRITE_BYTES
            && let Ok(frame) = frames.try_recv()
        {
            frame.write(&mut out);
        }
        let written = leg.write_all(&out).await;
        out.clear();
        if written.is_err() || leg.flush().await.is_err() {
            return;
        }
    }
    // Says that nothing more comes; a member that has everything closes its side.
    if leg.shutdown().await.is_ok() {
        tokio::time::sleep(FAREWELL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_leg_begins_with_its_first_frame_however_late_that_is_and_nudges_follow_it() {
        let (leg, mut end) = tokio::io::duplex(1 << 16);
        let (frames, queue) = mpsc::channel(FRAMES_MAX);
        let (events, _heard) = mpsc::channel(8);
        let served = tokio::spawn(serve(MemberId(0), leg, Bytes::new(), queue, events));
        tokio::time::sleep(NUDGES.iter().sum::<Duration>() * 2).await;
        frames.send(Frame::End { blocks: 7 }).await.unwrap();
        let mut read = BytesMut::new();
        let mut told = Vec::new();
        while told.len() < 2 {
            match Frame::read(&mut read).unwrap() {
                Some(frame) => told.push(frame),
                None => assert_ne!(end.read_buf(&mut read).await.unwrap(), 0),
            }
        }
        assert_eq!(told, [Frame::End { blocks: 7 }, Frame::Nudge]);
        drop((frames, end));
        served.await.unwrap();
    }
}
