//! Where nobody answers at the site that was asked for all: one of those who waited searches on, the others wait for what it finds.
//!
//! Each of them searching by itself would ask every other surrogate as often as there are clients, just when one of them has failed.
//! What is found goes to all if it may be shared, and so does a last word that nobody has it; anything else is for the one who searched,
//! and the others search by themselves.

use std::sync::Arc;
use std::time::Instant;

use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use flame_naming::Moment;
use flame_naming::identity::{Identity, Sharing, Split};

use super::super::fault::Fault;
use super::super::{Outgoing, Parties};
use super::status::Way;
use super::{TURNS, enter, is_ended, is_shared, judged, read, silent, unanswered};
use crate::multicast::head::{self, Length};
use crate::multicast::{self, Begun, Lead, Multicast, Nothing, Place, Searched, Shared, Sought};

/// Longest body with which a search fails for all.
const LAST_WORD_MAX_BYTES: u64 = 64 << 10;

impl Parties {
    /// Searches on where the outcome was `first`, once for all of this edge who wait for the same. The request came at `began`; whose
    /// own time is over is told so.
    pub(super) async fn search_for_all(
        &self,
        multicast: &Multicast,
        outgoing: &mut Outgoing,
        sought: Sought,
        (first, began): (Result<Response, Fault>, Moment),
    ) -> Result<Response, Fault> {
        let (_, identity) = &sought;
        if multicast.learned().is_long(identity, Instant::now()) {
            return self.search_on(outgoing, first, began).await;
        }
        // An answer is made for where its client sees it.
        let searched = (outgoing.forward.mount.prefix().to_owned(), sought);
        for _ in 0..TURNS {
            match multicast.search(searched.clone()) {
                Place::Lead(lead) => return self.search_first(multicast, outgoing, lead, (first, began)).await,
                Place::Follow(mut follow) => {
                    let deadline = outgoing.budget.deadline;
                    let told = tokio::select! {
                        told = follow.shared() => told.and_then(|shared| enter(shared, follow)),
                        _ = outgoing.offer.stalled(deadline) => return Err(silent(outgoing)),
                    };
                    match told {
                        Ok(begun) => return Ok(self.found(begun, Way::COLLAPSED)),
                        Err(Nothing::Alone) => break,
                        Err(Nothing::Failed) => return first.map_err(|_| unanswered(outgoing)),
                        Err(Nothing::Leaderless) => {}
                    }
                }
            }
        }
        self.search_on(outgoing, first, began).await
    }

    async fn search_first(
        &self,
        multicast: &Multicast,
        outgoing: &mut Outgoing,
        lead: Lead<Searched, Arc<Shared>>,
        (first, began): (Result<Response, Fault>, Moment),
    ) -> Result<Response, Fault> {
        let found = match self.search_on(outgoing, first, began).await {
            Ok(found) => found,
            // Its own time is over; those who came later may have some left, and one of them searches.
            Err(fault @ Fault::Silent { .. }) => return Err(fault),
            Err(fault) => {
                lead.failed();
                return Err(fault);
            }
        };
        let identity = lead.key().1.1.clone();
        let (status, headers) = (found.status(), found.headers());
        let is_for_all = is_shared(multicast, &identity, status, headers) || is_last_word(&identity, status, headers);
        let is_for_all = is_for_all && is_ended(found.extensions());
        let Some(room) = is_for_all.then(|| multicast.memory().room_for(headers)).flatten() else {
            if status.is_server_error() {
                lead.failed()
            } else {
                lead.alone()
            }
            return Ok(found);
        };
        let (parts, body) = found.into_parts();
        let head = multicast::head::Head::from(&parts);
        Ok(self.found(multicast.spread(identity, head, body, Some(lead), room), Way::ALONE))
    }

    /// What was found, as one of those sees it who waited.
    fn found(&self, begun: Begun, way: Way) -> Response {
        let mut answer = read(begun);
        self.say_way(answer.headers_mut(), way.searched());
        answer
    }
}

/// Whether an answer says that nobody has it, or nobody can give it, and not to whom: each of the others would be told the same after as
/// long a search. What depends on who asks, and what is long, is none.
fn is_last_word(identity: &Identity, status: StatusCode, headers: &HeaderMap) -> bool {
    let is_final = matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE | StatusCode::RANGE_NOT_SATISFIABLE);
    let is_short = match head::length(headers) {
        Some(Length::Stated(bytes)) => bytes <= LAST_WORD_MAX_BYTES,
        Some(Length::Unsaid) => true,
        None => false,
    };
    let is_for_anybody = matches!(judged(identity, status, headers), Sharing::All | Sharing::Split(Split::Unsaid));
    (is_final || status.is_server_error()) && is_short && is_for_anybody
}
